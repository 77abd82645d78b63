// Class indices of samples: "name index" lines, or arrays of indices.
#include <fmt/core.h>

#include <charconv>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/files.h"
#include "data/npy.h"
#include "data/raw_arrays.h"
#include "data/source.h"

namespace amct {
namespace {

constexpr size_t kMaxFaults = 5;  // that are named; the rest is counted

std::vector<int64_t> from_array(const StoredArray& array, size_t samples) {
  if (!is_integer(array.dtype)) {
    throw data_error(fmt::format("labels are class indices, not {}", name_of(array.dtype)), array.label,
                     "save them as integers");
  }
  const Tensor tensor = read_whole(array);
  if (static_cast<size_t>(tensor.size()) != samples) {
    throw data_error(fmt::format("{} labels for {} samples", tensor.size(), samples), array.label,
                     "give one label per sample");
  }
  auto labels = tensor.to_int64s();
  for (const int64_t label : labels) {
    if (label < 0) throw data_error(fmt::format("class index {} is negative", label), array.label);
  }
  return labels;
}

class LabelFile {
 public:
  LabelFile(const std::filesystem::path& path, const DataSource& source) : path_(path), source_(source) {
    for (size_t i = 0; i < source.size(); ++i) index_.emplace(source.sample_name(i), i);
  }

  std::vector<int64_t> read() {
    std::vector<int64_t> labels(source_.size(), -1);
    const std::string text = read_text(path_);
    std::string_view rest = text;
    for (int line = 1; !rest.empty(); ++line) {
      const size_t end = rest.find('\n');
      read_line(rest.substr(0, end), line, labels);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    for (size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] < 0 && !faulty_) add(0, fmt::format("no label for {}", source_.sample_name(i)));
    }
    if (count_ > kMaxFaults)
      faults_.add(data_error(fmt::format("{} more such lines", count_ - kMaxFaults), path_.string()));
    faults_.throw_if_any();
    return labels;
  }

 private:
  void add(int line, std::string message) {
    if (++count_ > kMaxFaults) return;
    Where where;
    where.file = path_.string();
    where.line = line;
    faults_.add(Error(ErrorCode::kInput, std::move(message), std::move(where),
                      "a line is the name of a data file and its class index"));
  }

  void read_line(std::string_view text, int line, std::vector<int64_t>& labels) {
    constexpr std::string_view kBlanks = " \t\r";
    const size_t last = text.find_last_not_of(kBlanks);
    if (last == std::string_view::npos) return;
    text = text.substr(0, last + 1);
    text.remove_prefix(text.find_first_not_of(kBlanks));
    const size_t gap = text.find_last_of(kBlanks);
    const size_t name_end = gap == std::string_view::npos ? gap : text.find_last_not_of(kBlanks, gap);
    const std::string_view number = gap == std::string_view::npos ? std::string_view{} : text.substr(gap + 1);
    int64_t label = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), label);
    if (name_end == std::string_view::npos || error != std::errc{} || end != number.data() + number.size() ||
        label < 0) {
      faulty_ = true;
      return add(line, fmt::format("'{}' is not a name and a class index", text));
    }
    const std::string name(text.substr(0, name_end + 1));
    const auto found = index_.find(name);
    if (found == index_.end()) return;  // the list may be of more files than there are
    if (labels[found->second] >= 0) return add(line, fmt::format("'{}' has a label already", name));
    labels[found->second] = label;
  }

  const std::filesystem::path& path_;
  const DataSource& source_;
  std::unordered_map<std::string, size_t> index_;
  Faults faults_;
  size_t count_ = 0;
  bool faulty_ = false;  // a line could not be read: the name that seems to lack a label may stand there
};

}  // namespace

std::vector<int64_t> read_labels(const std::filesystem::path& path, const DataSource& source) {
  if (path.extension() == ".npy") return from_array(open_npy(path), source.size());
  if (is_idx(path)) return from_array(open_idx(path), source.size());
  return LabelFile(path, source).read();
}

}  // namespace amct
