// The compiler: one step per node, or per compute node with the element-wise nodes that it absorbs.
//
// For each node in order it chooses a layout (channels-last where the row prefers it, else that of the inputs), offers
// the nodes behind it as epilogues, asks the row for a compiled step with as many of them as it can take, and falls
// back on the plain kernel. Values are copied to another layout at most once.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "exec/deferred_kernels.h"
#include "exec/describe.h"
#include "exec/program_impl.h"
#include "exec/steps.h"
#include "kernels/threads.h"
#include "ops/op_row.h"
#include "ops/run_graph.h"

namespace amct {
namespace {

struct Absorbed {
  NodeId node;
  Epilogue epilogue;
  ValueId result;
};

class Compiler {
 public:
  explicit Compiler(CompiledProgram& program)
      : p_(program),
        graph_(*program.graph),
        stored_(graph_.value_slots(), {-1, -1}),
        remaining_(program.needed.use_count),
        pinned_(graph_.value_slots(), false),
        observed_(graph_.value_slots(), false),
        absorbed_(graph_.node_slots(), false),
        runs_(graph_.node_slots(), false) {}

  void compile() {
    for (const ValueId id : graph_.outputs()) pinned_[id.index] = true;
    for (const ValueId id : p_.options.keep) pinned_[id.index] = true;
    for (const ValueId id : p_.options.observe) observed_[id.index] = true;
    for (const NodeId id : p_.needed.order) runs_[id.index] = true;
    place_inputs();
    for (const NodeId id : p_.needed.order) {
      if (absorbed_[id.index]) continue;
      try {
        compile_node(id);
      } catch (const Error& error) {
        throw error.with({.model = graph_.info.path, .node = graph_.node(id).name, .op = graph_.node(id).op});
      }
    }
    deferred_.run(graph_, std::max(p_.options.threads, p_.options.compilers));
    for (const ValueId id : p_.wanted) make_readable(id);
    for (const auto& [id, place] : p_.readable) touch(place);  // to the end
    for (const Place& place : p_.inputs) {
      if (place.buffer >= 0) p_.buffers[place.buffer].first_step = 0;
    }
  }

 private:
  const Dims dims(ValueId id) const { return *p_.types.types[id.index].shape.fixed(); }
  DType dtype(ValueId id) const { return p_.types.types[id.index].dtype; }
  const Tensor& known(ValueId id) const { return p_.types.values[id.index]; }
  int step_index() const { return static_cast<int>(p_.steps.size()); }

  int new_buffer(size_t bytes) {
    p_.buffers.push_back({bytes, step_index(), step_index(), 0});
    return static_cast<int>(p_.buffers.size()) - 1;
  }

  void touch(const Place& place) {
    if (place.buffer >= 0) {
      p_.buffers[place.buffer].last_step = std::max(p_.buffers[place.buffer].last_step, step_index());
    }
  }

  int& stored(ValueId id, Layout layout) { return stored_[id.index][static_cast<size_t>(layout)]; }

  Place place_of(int buffer, DType type, const Dims& logical, Layout layout) const {
    return {type, memory_dims(logical, layout), buffer, {}};
  }

  void place_inputs() {
    for (const ValueId id : graph_.inputs()) {
      const TensorType& type = p_.types.types[id.index];
      if (known(id) || !type.shape.is_fixed() || element_bytes(type.dtype) == 0) {
        p_.inputs.push_back({type.dtype, known(id) ? known(id).dims() : Dims{}, -1, known(id)});
        continue;
      }
      const Dims extents = dims(id);
      const int buffer = new_buffer(static_cast<size_t>(element_count(extents)) * element_bytes(type.dtype));
      stored(id, Layout::kPlain) = buffer;
      p_.inputs.push_back(place_of(buffer, type.dtype, extents, Layout::kPlain));
      if (observed_[id.index]) p_.observed_inputs.emplace_back(id, p_.inputs.back());
    }
  }

  // --- operands ------------------------------------------------------------------------------------------------------

  // The value in the wanted layout under extents `logical` (its own, or with leading ones); reorders it if needed.
  Place fetch(ValueId id, const Dims& logical, Layout layout) {
    if (known(id)) {
      Tensor tensor = to_layout(known(id).reshaped(logical), layout);
      return {tensor.dtype(), memory_dims(logical, layout), -1, std::move(tensor)};
    }
    const bool expanded = logical.size() != dims(id).size();
    const Layout other = layout == Layout::kPlain ? Layout::kChannelsLast : Layout::kPlain;
    int buffer = expanded ? -1 : stored(id, layout);
    if (buffer < 0) {
      const int source = expanded ? plain_buffer(id) : stored(id, other);
      AMCT_CHECK(source >= 0, fmt::format("value {} is used before it is computed", graph_.value(id).name));
      buffer = same_order_in_all_layouts(logical) ? source : reorder(source, dtype(id), logical, layout);
      if (!expanded) stored(id, layout) = buffer;
    }
    Place place = place_of(buffer, dtype(id), logical, layout);
    touch(place);
    return place;
  }

  int plain_buffer(ValueId id) { return fetch(id, dims(id), Layout::kPlain).buffer; }

  int reorder(int source, DType type, const Dims& logical, Layout to) {
    const Layout from = to == Layout::kPlain ? Layout::kChannelsLast : Layout::kPlain;
    CompiledStep step;
    step.step = make_reorder_step(logical, to);
    step.inputs.push_back(place_of(source, type, logical, from));
    touch(step.inputs.back());
    const int target = new_buffer(static_cast<size_t>(element_count(logical)) * element_bytes(type));
    step.outputs.push_back(place_of(target, type, logical, to));
    step.info = {{}, "reorder", step.step->implementation(), to, logical, 0, bytes_moved(step)};
    p_.steps.push_back(std::move(step));
    p_.buffers[target].last_step = step_index();
    return target;
  }

  // --- layouts -------------------------------------------------------------------------------------------------------

  Layout preferred_layout(const Node& node) {
    const size_t rank = dims(first_output(node)).size();
    if (!p_.options.compiled_kernels || rank < 3) return Layout::kPlain;
    if (node.row->layout == LayoutRule::kPreferChannelsLast) return Layout::kChannelsLast;
    if (node.row->layout == LayoutRule::kPlain) return Layout::kPlain;
    bool any_channels_last = false;
    for (const ValueId output : node.outputs) {
      if (output.valid() && dims(output).size() != rank) return Layout::kPlain;
    }
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      const ValueId input = node.inputs[port];
      if (!input.valid() || !follows_layout(node, port)) continue;
      const size_t input_rank = dims(input).size();
      if (input_rank > rank) return Layout::kPlain;
      if (!known(input) && input_rank == rank && stored(input, Layout::kChannelsLast) >= 0 &&
          stored(input, Layout::kPlain) < 0) {
        any_channels_last = true;
      }
    }
    return any_channels_last ? Layout::kChannelsLast : Layout::kPlain;
  }

  ValueId first_output(const Node& node) const {
    for (const ValueId output : node.outputs) {
      if (output.valid()) return output;
    }
    internal_error("a node without outputs");
  }

  // Extents under which an input is presented: with leading ones where a broadcast row works in channels-last.
  Dims presented_dims(const Node& node, size_t port, Layout layout) const {
    Dims extents = dims(node.inputs[port]);
    if (layout == Layout::kPlain || node.row->layout != LayoutRule::kFollow || !follows_layout(node, port)) {
      return extents;
    }
    const size_t rank = dims(first_output(node)).size();
    extents.insert(extents.begin(), rank - std::min(rank, extents.size()), 1);
    return extents;
  }

  // --- epilogues -----------------------------------------------------------------------------------------------------

  // The chain of nodes behind `node` that a step could take in.
  std::vector<Absorbed> offer(const Node& node) {
    std::vector<Absorbed> chain;
    if (!p_.options.absorb || !p_.options.compiled_kernels || node.outputs.size() != 1) return chain;
    ValueId current = node.outputs[0];
    while (!pinned_[current.index] && !observed_[current.index] && p_.needed.use_count[current.index] == 1) {
      Use use;
      for (const Use& candidate : graph_.value(current).uses) {
        if (runs_[candidate.node.index]) use = candidate;
      }
      const Node& next = graph_.node(use.node);
      if (next.row->absorb_into == nullptr || next.outputs.size() != 1) break;
      const auto concrete = [this](ValueId id) -> const Dims& { return concrete_dims(id); };
      const auto concrete_type = [this](ValueId id) { return dtype(id); };
      const auto epilogue = next.row->absorb_into({graph_, next, use.port, concrete, concrete_type});
      if (!epilogue) break;
      if (epilogue->operand.valid() && !is_computed(epilogue->operand)) break;
      const DType type = epilogue->result != DType::kUndefined ? epilogue->result : dtype(current);
      if (dims(next.outputs[0]) != dims(current) || dtype(next.outputs[0]) != type) break;
      chain.push_back({use.node, *epilogue, next.outputs[0]});
      current = next.outputs[0];
    }
    return chain;
  }

  const Dims& concrete_dims(ValueId id) {
    Dims& cached = concrete_[id];
    cached = dims(id);
    return cached;
  }

  bool is_computed(ValueId id) {
    return !known(id) && (stored(id, Layout::kPlain) >= 0 || stored(id, Layout::kChannelsLast) >= 0);
  }

  // True if a sum may be made in the operand's own memory: nobody else reads it afterwards.
  bool may_overwrite(ValueId id, Layout layout) {
    return !pinned_[id.index] && !known(id) && remaining_[id.index] == 1 && stored(id, layout) >= 0;
  }

  // --- nodes ---------------------------------------------------------------------------------------------------------

  void compile_node(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<Absorbed> chain = offer(node);
    const Layout preferred = preferred_layout(node);
    if (node.row->lower != nullptr && p_.options.compiled_kernels) {
      const ThreadLimit limit(p_.options.threads);
      for (const Layout layout : {preferred, Layout::kPlain}) {
        for (size_t taken = chain.size() + 1; taken-- > 0;) {
          DeferredWork work;
          std::unique_ptr<Step> step = lower(node, layout, {chain.begin(), chain.begin() + static_cast<long>(taken)});
          if (step == nullptr) continue;
          deferred_.add(id, work);
          chain.resize(taken);
          emit(id, std::move(step), layout, chain);
          return;
        }
        if (preferred == Layout::kPlain) break;
      }
    }
    const Layout layout = node.row->layout == LayoutRule::kFollow ? preferred : Layout::kPlain;
    const auto constants = tensors_of_inputs(node, [this](ValueId input) { return known(input); });
    emit(id, make_run_step(node, layout, p_.options, constants), layout, {});
  }

  std::unique_ptr<Step> lower(const Node& node, Layout layout, const std::vector<Absorbed>& chain) {
    std::vector<LowerContext::Port> inputs(node.inputs.size());
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      const ValueId input = node.inputs[port];
      if (!input.valid()) continue;
      Dims extents = presented_dims(node, port, layout);
      const Layout own = port_layout(node, port, extents, layout);
      inputs[port] = {dtype(input), std::move(extents), own, known(input) ? &known(input) : nullptr};
    }
    std::vector<LowerContext::Port> outputs(node.outputs.size());
    for (size_t port = 0; port < node.outputs.size(); ++port) {
      const ValueId output = node.outputs[port];
      if (!output.valid()) continue;
      Dims extents = dims(output);
      const Layout own = extents.size() >= 3 ? layout : Layout::kPlain;
      outputs[port] = {dtype(output), std::move(extents), own, nullptr};
    }
    std::vector<Epilogue> epilogues;
    for (const Absorbed& absorbed : chain) epilogues.push_back(absorbed.epilogue);
    auto step = node.row->lower(LowerContext(graph_, node, std::move(inputs), std::move(outputs), epilogues,
                                             p_.options.threads, !p_.options.lean));
    if (step != nullptr && step->sums_in_place()) {
      for (const Epilogue& epilogue : epilogues) {
        if (epilogue.kind == Epilogue::Kind::kAdd && !may_overwrite(epilogue.operand, layout)) return nullptr;
      }
    }
    return step;
  }

  void emit(NodeId id, std::unique_ptr<Step> step, Layout layout, const std::vector<Absorbed>& chain) {
    const Node& node = graph_.node(id);
    CompiledStep compiled;
    compiled.node = node.name;
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      const ValueId input = node.inputs[port];
      if (!input.valid()) {
        compiled.inputs.emplace_back();
        continue;
      }
      const Dims extents = presented_dims(node, port, layout);
      const Layout own = port_layout(node, port, extents, layout);
      const bool packed = known(input) && !step->reads(port);
      compiled.inputs.push_back(packed ? place_of(-1, dtype(input), extents, own) : fetch(input, extents, own));
    }
    int sum_buffer = -1;
    for (const Absorbed& absorbed : chain) {
      if (!absorbed.epilogue.operand.valid()) continue;
      const Dims extents = dims(absorbed.epilogue.operand);
      compiled.inputs.push_back(
          fetch(absorbed.epilogue.operand, extents, extents.size() >= 3 ? layout : Layout::kPlain));
      if (step->sums_in_place() && absorbed.epilogue.kind == Epilogue::Kind::kAdd) {
        sum_buffer = compiled.inputs.back().buffer;
      }
    }
    for (const Place& place : compiled.inputs) touch(place);  // reorders of later operands moved the step on

    std::vector<ValueId> results = node.outputs;
    if (!chain.empty()) results = {chain.back().result};
    for (size_t port = 0; port < results.size(); ++port) {
      if (!results[port].valid()) {
        compiled.outputs.emplace_back();
        continue;
      }
      const bool may_share = port == 0 && sum_buffer < 0 && chain.empty();
      compiled.outputs.push_back(place_result(node, results[port], layout, sum_buffer, may_share, compiled));
    }
    if (step->scratch_bytes() > 0) compiled.scratch = new_buffer(step->scratch_bytes());
    describe(compiled, node, *step, chain, results, layout);
    compiled.step = std::move(step);
    p_.steps.push_back(std::move(compiled));

    for (const ValueId input : node.inputs) {
      if (input.valid()) --remaining_[input.index];
    }
    for (const Absorbed& absorbed : chain) {
      absorbed_[absorbed.node.index] = true;
      for (const ValueId input : graph_.node(absorbed.node).inputs) {
        if (input.valid()) --remaining_[input.index];
      }
    }
  }

  Place place_result(const Node& node, ValueId id, Layout layout, int sum_buffer, bool may_share,
                     const CompiledStep& step) {
    const Dims extents = dims(id);
    const Layout own = extents.size() >= 3 ? layout : Layout::kPlain;
    const size_t bytes = static_cast<size_t>(element_count(extents)) * element_bytes(dtype(id));
    int buffer = sum_buffer;
    if (may_share && node.row->in_place && !step.inputs.empty() && step.inputs[0].buffer >= 0 &&
        step.inputs[0].dtype == dtype(id) && element_count(step.inputs[0].dims) == element_count(extents) &&
        remaining_[node.inputs[0].index] == 1 && !pinned_[node.inputs[0].index]) {
      buffer = step.inputs[0].buffer;
    }
    if (buffer < 0) buffer = new_buffer(bytes);
    stored(id, own) = buffer;
    Place place = place_of(buffer, dtype(id), extents, own);
    touch(place);
    return place;
  }

  void describe(CompiledStep& compiled, const Node& node, const Step& step, const std::vector<Absorbed>& chain,
                const std::vector<ValueId>& results, Layout layout) {
    compiled.info.nodes.push_back(node.name);
    for (const Absorbed& absorbed : chain) compiled.info.nodes.push_back(graph_.node(absorbed.node).name);
    compiled.info.op = node.op;
    compiled.info.implementation = step.implementation();
    const ValueId first = chain.empty() ? first_output(node) : results[0];
    compiled.info.dims = dims(first);
    compiled.info.layout = compiled.info.dims.size() >= 3 ? layout : Layout::kPlain;
    compiled.info.macs = macs_of(graph_, node, p_.types);
    compiled.info.bytes = bytes_moved(compiled);
    for (size_t port = 0; port < results.size(); ++port) {
      if (results[port].valid() && observed_[results[port].index]) {
        compiled.observed.emplace_back(results[port], compiled.outputs[port]);
        const bool has_layout = compiled.outputs[port].dims.size() >= 3;
        p_.observed_layouts[results[port]] = has_layout ? compiled.info.layout : Layout::kPlain;
      }
    }
  }

  void make_readable(ValueId id) {
    if (p_.needed.reach[id.index] != Reach::kComputed || !pinned_[id.index] || p_.readable.contains(id)) return;
    p_.readable[id] = fetch(id, dims(id), Layout::kPlain);
  }

  CompiledProgram& p_;
  const Graph& graph_;
  std::vector<std::array<int, 2>> stored_;  // arena buffer of each value, per layout
  std::vector<uint32_t> remaining_;         // uses by nodes that have no step yet
  std::vector<bool> pinned_;                // outputs and kept values
  std::vector<bool> observed_;
  std::vector<bool> absorbed_;
  std::vector<bool> runs_;
  std::unordered_map<ValueId, Dims> concrete_;
  DeferredKernels deferred_;
};

}  // namespace

void compile_steps(CompiledProgram& program) { Compiler(program).compile(); }

}  // namespace amct
