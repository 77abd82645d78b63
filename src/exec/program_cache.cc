#include "exec/program_cache.h"

#include <list>
#include <mutex>
#include <span>

namespace amct {
namespace {

constexpr int64_t kMaxValueElements = 1024;  // an input that shape rules read is not larger
constexpr int kMaxValuePrograms = 16;        // then values are taken to change at every run

struct Cached {
  std::string key;
  std::shared_ptr<const Program> program;
};

// An input whose value may decide shapes: integers, conditions, or few numbers (scales of a resize).
bool may_decide_shapes(const Tensor& tensor) {
  return tensor.size() <= kMaxValueElements && (is_integer(tensor.dtype()) || tensor.rank() <= 1);
}

void append(std::string& key, std::span<const std::byte> bytes) {
  key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void append(std::string& key, const Tensor& tensor, bool with_value) {
  const Dims& dims = tensor.dims();
  key += static_cast<char>(tensor.dtype());
  key += static_cast<char>(dims.size());
  append(key, std::as_bytes(std::span(dims)));
  if (with_value) append(key, tensor.bytes());
}

}  // namespace

struct ProgramCache::Impl {
  std::shared_ptr<const Graph> graph;
  CompileOptions options;
  std::unordered_map<size_t, Tensor> constants;
  size_t first_deciding = 0;  // the first input whose value may decide shapes
  int value_programs_left = kMaxValuePrograms;
  bool values_matter = false;  // learned from the first shapes that do not follow from extents alone
  std::list<Cached> cache;     // most recently used first
  std::mutex mutex;

  bool decides(size_t index, const Tensor& input) const {
    return index >= first_deciding && !constants.contains(index) && may_decide_shapes(input);
  }

  std::string key_of(const std::vector<Tensor>& inputs) const {
    std::string key;
    for (size_t i = 0; i < inputs.size(); ++i) append(key, inputs[i], values_matter && decides(i, inputs[i]));
    return key;
  }

  std::shared_ptr<const Program> compile(const std::vector<Tensor>& inputs, bool with_values) {
    InputBinding binding;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ValueId id = graph->inputs()[i];
      binding.dims[id] = inputs[i].dims();
      binding.dtypes[id] = inputs[i].dtype();
      if (const auto constant = constants.find(i); constant != constants.end()) {
        binding.values[id] = constant->second;
      } else if (with_values && decides(i, inputs[i])) {
        binding.values[id] = Tensor::copy_of(inputs[i].view());
      }
    }
    return Program::compile(graph, binding, options);
  }

  // With values if only they complete it.
  std::shared_ptr<const Program> compile(const std::vector<Tensor>& inputs) {
    auto program = values_matter ? nullptr : compile(inputs, false);
    if (program != nullptr && (program->complete() || value_programs_left == 0)) return program;
    auto with_values = compile(inputs, true);
    if (program != nullptr && !with_values->complete()) return program;
    values_matter = true;
    if (--value_programs_left > 0) return with_values;
    values_matter = false;  // from now on programs hold for all values
    cache.clear();
    return compile(inputs, false);
  }

  std::shared_ptr<const Program> look_up(const std::string& key) {
    for (auto at = cache.begin(); at != cache.end(); ++at) {
      if (at->key != key) continue;
      cache.splice(cache.begin(), cache, at);
      return cache.front().program;
    }
    return nullptr;
  }
};

ProgramCache::ProgramCache(std::shared_ptr<const Graph> graph, CompileOptions options,
                           std::unordered_map<size_t, Tensor> constants, size_t deciding)
    : impl_(std::make_unique<Impl>()) {
  impl_->graph = std::move(graph);
  impl_->options = std::move(options);
  impl_->constants = std::move(constants);
  impl_->first_deciding = impl_->graph->inputs().size() - deciding;
}

ProgramCache::~ProgramCache() = default;

const std::shared_ptr<const Graph>& ProgramCache::graph() const { return impl_->graph; }

std::shared_ptr<const Program> ProgramCache::find(const std::vector<Tensor>& inputs) {
  const std::lock_guard lock(impl_->mutex);
  if (auto program = impl_->look_up(impl_->key_of(inputs))) return program;
  auto program = impl_->compile(inputs);
  impl_->cache.push_front({impl_->key_of(inputs), program});  // what the key holds may have been learned just now
  if (impl_->cache.size() > kCachedPrograms) impl_->cache.pop_back();
  return program;
}

std::shared_ptr<const Program> ProgramCache::cached(const std::vector<Tensor>& inputs) {
  const std::lock_guard lock(impl_->mutex);
  return impl_->look_up(impl_->key_of(inputs));
}

std::string ProgramCache::key_of(const std::vector<Tensor>& inputs) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->key_of(inputs);
}

void ProgramCache::clear() {
  const std::lock_guard lock(impl_->mutex);
  impl_->cache.clear();
}

}  // namespace amct
