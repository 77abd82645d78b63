#include "exec/session.h"

#include <fmt/format.h>

#include <cstring>
#include <list>
#include <string>

#include "exec/interpret.h"
#include "exec/profile.h"

namespace amct {
namespace {

constexpr size_t kCachedPrograms = 8;
constexpr int64_t kMaxValueElements = 1024;  // an input that shape rules read is not larger

struct Cached {
  std::string key;
  std::shared_ptr<const Program> program;
  std::unique_ptr<Runner> runner;
};

// An input whose value may decide shapes: integers, or few numbers (scales of a resize).
bool may_decide_shapes(const Tensor& tensor) {
  return tensor.size() <= kMaxValueElements && (is_integer(tensor.dtype()) || tensor.rank() <= 1);
}

void append(std::string& key, const Tensor& tensor, bool with_value) {
  key += to_string(tensor.dims());
  if (!with_value) return;
  const auto bytes = tensor.bytes();
  key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

struct Session::Impl {
  std::shared_ptr<const Graph> graph;
  CompileOptions options;
  bool values_matter = false;  // learned from the first shapes that do not follow from extents alone
  std::list<Cached> cache;     // most recently used first

  void check(const std::vector<Tensor>& inputs) const;
  Cached& find(const std::vector<Tensor>& inputs);
  std::shared_ptr<const Program> compile(const std::vector<Tensor>& inputs, bool with_values) const;
};

Session::Session(std::shared_ptr<const Graph> graph, CompileOptions options) : impl_(std::make_unique<Impl>()) {
  for (const ValueId id : graph->inputs()) {
    if (graph->value(id).type.dtype != DType::kUndefined) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("input '{}' is no tensor; sequences, maps and optionals are not computed with",
                            graph->value(id).name),
                {.model = graph->info.path});
  }
  impl_->graph = std::move(graph);
  impl_->options = std::move(options);
}

Session::Session(Graph graph, CompileOptions options)
    : Session(std::make_shared<const Graph>(std::move(graph)), std::move(options)) {}

Session::~Session() = default;

const Graph& Session::graph() const { return *impl_->graph; }

void Session::Impl::check(const std::vector<Tensor>& inputs) const {
  if (inputs.size() != graph->inputs().size()) {
    throw Error(ErrorCode::kInput,
                fmt::format("the model has {} inputs, not {}", graph->inputs().size(), inputs.size()),
                {.model = graph->info.path});
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& declared = graph->value(graph->inputs()[i]);
    const Shape& shape = declared.type.shape;
    bool fits = declared.type.dtype == inputs[i].dtype();
    if (shape.ranked()) {
      fits = fits && shape.rank() == inputs[i].rank();
      for (size_t axis = 0; fits && axis < shape.rank(); ++axis) {
        fits = !shape[axis].is_fixed() || shape[axis].extent() == inputs[i].dims()[axis];
      }
    }
    if (!fits) {
      throw Error(ErrorCode::kInput,
                  fmt::format("input '{}' wants {} {}, not {} {}", declared.name, name_of(declared.type.dtype),
                              shape.to_string(), name_of(inputs[i].dtype()), to_string(inputs[i].dims())),
                  {.model = graph->info.path});
    }
  }
}

std::shared_ptr<const Program> Session::Impl::compile(const std::vector<Tensor>& inputs, bool with_values) const {
  InputBinding binding;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph->inputs()[i];
    binding.dims[id] = inputs[i].dims();
    if (with_values && may_decide_shapes(inputs[i])) binding.values[id] = inputs[i];
  }
  return Program::compile(graph, binding, options);
}

Cached& Session::Impl::find(const std::vector<Tensor>& inputs) {
  check(inputs);
  std::string key;
  for (const Tensor& input : inputs) append(key, input, values_matter && may_decide_shapes(input));
  for (auto at = cache.begin(); at != cache.end(); ++at) {
    if (at->key != key) continue;
    cache.splice(cache.begin(), cache, at);
    return cache.front();
  }
  auto program = compile(inputs, values_matter);
  if (!program->complete() && !values_matter) {
    auto with_values = compile(inputs, true);
    if (with_values->complete()) {
      values_matter = true;
      return find(inputs);
    }
  }
  cache.push_front({std::move(key), std::move(program), nullptr});
  if (cache.size() > kCachedPrograms) cache.pop_back();
  return cache.front();
}

std::shared_ptr<const Program> Session::program(const std::vector<Tensor>& inputs) {
  return impl_->find(inputs).program;
}

std::vector<Tensor> Session::run(const std::vector<Tensor>& inputs, const ObserveFn& observe, Profile* profile) {
  std::vector<ValueId> wanted = impl_->graph->outputs();
  wanted.insert(wanted.end(), impl_->options.keep.begin(), impl_->options.keep.end());
  Cached& cached = impl_->find(inputs);
  if (profile != nullptr) profile->begin_run();
  if (!cached.program->complete()) {
    return interpret(*impl_->graph, inputs, wanted, impl_->options.observe, observe, profile);
  }
  if (cached.runner == nullptr) cached.runner = std::make_unique<Runner>(cached.program);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const MutableView view = cached.runner->input(i);
    if (view.data != nullptr) std::memcpy(view.data, inputs[i].bytes().data(), inputs[i].bytes().size());
  }
  cached.runner->run(observe, profile);
  std::vector<Tensor> results;
  for (const ValueId id : wanted) results.push_back(Tensor::copy_of(cached.runner->value(id)));
  return results;
}

}  // namespace amct
