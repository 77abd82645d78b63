#include "exec/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <string>

#include "exec/interpret.h"
#include "exec/profile.h"
#include "exec/segments.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

constexpr size_t kCachedPrograms = 8;
constexpr int kPatience = 4;                 // new extents in a row that are compiled for without question
constexpr size_t kRememberedKeys = 32;       // of extents that were not
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
  bool values_matter = false;          // learned from the first shapes that do not follow from extents alone
  std::list<Cached> cache;             // most recently used first
  std::unique_ptr<Segments> segments;  // set once a program ended before a shape that depends on data
  int new_in_a_row = 0;                // runs since the cache had a program
  std::list<std::string> passed_over;  // keys of recent runs that were not compiled
  bool is_light = true;                // no node has a compiled step: running node by node costs little more

  void check(const std::vector<Tensor>& inputs) const;
  std::string key_of(const std::vector<Tensor>& inputs) const;
  bool worth_compiling(const std::vector<Tensor>& inputs);
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
  for (const NodeId id : impl_->graph->nodes()) {
    const Node& node = impl_->graph->node(id);
    if (!node.is_opaque() && (node.row->lower != nullptr || has_subgraphs(node))) impl_->is_light = false;
  }
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

std::string Session::Impl::key_of(const std::vector<Tensor>& inputs) const {
  std::string key;
  for (const Tensor& input : inputs) append(key, input, values_matter && may_decide_shapes(input));
  return key;
}

// False where extents are new at every run and a program would be used once: a light graph then runs node by node. The
// answer follows from the sequence of extents alone.
bool Session::Impl::worth_compiling(const std::vector<Tensor>& inputs) {
  if (!is_light) return true;
  const std::string key = key_of(inputs);
  const bool cached = std::any_of(cache.begin(), cache.end(), [&](const Cached& entry) { return entry.key == key; });
  new_in_a_row = cached ? 0 : new_in_a_row + 1;
  if (new_in_a_row <= kPatience) return true;
  const auto at = std::find(passed_over.begin(), passed_over.end(), key);
  if (at != passed_over.end()) {
    passed_over.erase(at);
    return true;
  }
  passed_over.push_front(key);
  if (passed_over.size() > kRememberedKeys) passed_over.pop_back();
  return false;
}

Cached& Session::Impl::find(const std::vector<Tensor>& inputs) {
  std::string key = key_of(inputs);
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
  impl_->check(inputs);
  return impl_->find(inputs).program;
}

std::vector<Tensor> Session::run(const std::vector<Tensor>& inputs, const ObserveFn& observe, Profile* profile) {
  std::vector<ValueId> wanted = impl_->graph->outputs();
  wanted.insert(wanted.end(), impl_->options.keep.begin(), impl_->options.keep.end());
  impl_->check(inputs);
  const Profile::Run profiled(profile);
  if (impl_->segments != nullptr) return impl_->segments->run(inputs, observe, profile);
  if (!impl_->worth_compiling(inputs)) {
    return interpret(*impl_->graph, inputs, wanted, impl_->options.observe, observe, profile);
  }
  Cached& cached = impl_->find(inputs);
  if (!cached.program->complete()) {
    impl_->segments = std::make_unique<Segments>(impl_->graph, *cached.program, impl_->options);
    impl_->cache.clear();
    return impl_->segments->run(inputs, observe, profile);
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
