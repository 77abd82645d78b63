#include "export/onnx/external_data.h"

#include <fmt/core.h>

#include <algorithm>

#include "export/onnx/pieces.h"
#include "onnx_wire.pb.h"

namespace amct::onnx_file {
namespace {

constexpr size_t kLongestStem = 200;   // file systems take 255 bytes
constexpr uint64_t kAlignment = 4096;  // a page
constexpr int kExternal = 1;           // TensorProto.DataLocation

}  // namespace

OutputFiles::Writer& ExternalData::file_for(const std::string& name, std::string& location) {
  if (suffix_.empty()) {
    location = model_.filename().string() + ".data";
    if (shared_ == nullptr) shared_ = &files_.add(model_.parent_path() / location);
    return *shared_;
  }
  std::string stem = name.substr(0, kLongestStem);
  std::replace(stem.begin(), stem.end(), '/', '_');
  location = stem + suffix_;
  for (int count = 1; !locations_.insert(location).second; ++count) {
    location = fmt::format("{}_{}{}", stem, count, suffix_);
  }
  return files_.add(model_.parent_path() / location);
}

void ExternalData::put(const std::string& name, const Tensor& tensor, wire::onnx::TensorProto& header) {
  std::string location;
  OutputFiles::Writer& data = file_for(name, location);
  const uint64_t misaligned = data.position() % kAlignment;
  if (misaligned != 0) data.write(std::string(kAlignment - misaligned, '\0'));
  const auto add = [&](const char* key, const std::string& value) {
    auto& entry = *header.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", location);
  add("offset", fmt::format("{}", data.position()));
  add("length", fmt::format("{}", payload_bytes(tensor)));
  header.set_data_location(kExternal);
  write_payload(tensor, data);
}

}  // namespace amct::onnx_file
