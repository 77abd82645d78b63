// Einsum: products of any number of operands, summed over the labels that the result lacks (ops/einsum.h).
//
// Plain: the plan in double for floats, modulo 2^n for integers of n bits. Compiled: the same plan in float32 with
// oneDNN's matrix products; operands whose memory already is a batch of matrices, transposed or not, are not copied.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "kernels/dnnl/matmul.h"
#include "kernels/index/reduce.h"
#include "kernels/index/strided.h"
#include "ops/compute_row.h"
#include "ops/einsum.h"
#include "ops/elementwise.h"
#include "ops/movement.h"
#include "ops/product.h"

namespace amct {
namespace {

EinsumLabels labels_of(const Node& node, const std::vector<size_t>& ranks) {
  try {
    return read_einsum(attr_string(node, "equation"), ranks);
  } catch (const Error& error) {
    throw error.with({.node = node.name, .op = node.op});
  }
}

EinsumLabels labels_of(const Node& node, const std::vector<Dims>& inputs) {
  std::vector<size_t> ranks;
  for (const Dims& dims : inputs) ranks.push_back(dims.size());
  return labels_of(node, ranks);
}

void infer(InferContext& c) {
  std::vector<size_t> ranks;
  for (size_t port = 0; port < c.input_count(); ++port) {
    expect_type(c, port, is_number_type);
    if (c.shape(port).ranked()) ranks.push_back(c.shape(port).rank());
  }
  expect_same_types(c);
  if (ranks.size() != c.input_count()) return c.set_output(0, c.dtype(0), Shape());
  const EinsumLabels labels = labels_of(c.node(), ranks);
  std::vector<Shape> extents;  // by label
  for (size_t port = 0; port < c.input_count(); ++port) {
    for (size_t axis = 0; axis < ranks[port]; ++axis) {
      const auto label = static_cast<size_t>(labels.inputs[port][axis]);
      if (label >= extents.size()) extents.resize(label + 1, Shape::of({1}));
      const auto joined = broadcast(extents[label], Shape({c.shape(port)[axis]}));
      if (!joined)
        c.fail(fmt::format("axis {} of operand {} does not fit the equation '{}'", axis, port,
                           attr_string(c.node(), "equation")));
      extents[label] = *joined;
    }
  }
  std::vector<Dim> dims;
  for (const int label : labels.output) dims.push_back(extents[static_cast<size_t>(label)][0]);
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

template <typename T>
void multiply(const T* a, const T* b, T* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_integral_v<T>) {
      y[i] = static_cast<T>(static_cast<Wrapping<T>>(a[i]) * static_cast<Wrapping<T>>(b[i]));
    } else {
      y[i] = static_cast<T>(static_cast<Compute<T>>(a[i]) * static_cast<Compute<T>>(b[i]));
    }
  }
}

// All steps but products.
void run_simple_step(const EinsumStep& step, DType dtype, int64_t count, const void* a, const void* b, void* to) {
  switch (step.kind) {
    case EinsumStep::Kind::kCopy:
      copy_strided(element_bytes(dtype), step.dims, a, step.strides, to, row_major_strides(step.dims));
      return;
    case EinsumStep::Kind::kSum: reduce(ReduceOp::kSum, {dtype, step.dims, a}, step.summed, to); return;
    case EinsumStep::Kind::kZero: std::memset(to, 0, static_cast<size_t>(count) * element_bytes(dtype)); return;
    case EinsumStep::Kind::kMultiply:
      visit_numbers(dtype, [&]<typename T>(Tag<T>) {
        multiply(static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(to), count);
      });
      return;
    case EinsumStep::Kind::kProduct: break;
  }
  internal_error("a product is no simple step");
}

Tensor run_plan(const EinsumPlan& plan, const std::vector<Tensor>& inputs, int threads) {
  const DType dtype = inputs[0].dtype();
  std::vector<Tensor> buffers = inputs;
  for (size_t i = inputs.size(); i < plan.elements.size(); ++i) {
    buffers.push_back(Tensor::allocate(dtype, {plan.elements[i]}));
  }
  for (const EinsumStep& step : plan.steps) {
    const TensorView a = buffers[step.a].view(), b = buffers[step.b].view();
    const MutableView to = buffers[step.to].mutable_view();
    if (step.kind != EinsumStep::Kind::kProduct) {
      run_simple_step(step, dtype, plan.elements[step.to], a.data, b.data, to.data);
      continue;
    }
    const Dims batch{step.batch};
    run_product({batch, batch, batch, step.m, step.n, step.k}, {dtype, {step.batch, step.m, step.k}, a.data},
                {dtype, {step.batch, step.k, step.n}, b.data}, {dtype, {step.batch, step.m, step.n}, to.data}, threads);
  }
  return buffers[inputs.size()];
}

void run(RunContext& c) {
  std::vector<Dims> dims;
  std::vector<Tensor> inputs;
  const bool wide = is_floating(c.output(0).dtype);
  for (size_t port = 0; port < c.input_count(); ++port) {
    dims.push_back(c.input(port).dims);
    const Tensor input = Tensor::copy_of(c.input(port));
    inputs.push_back(wide ? input.cast(DType::kFloat64) : input);
  }
  const EinsumPlan plan = plan_einsum(labels_of(c.node(), dims), dims, false);
  const Tensor result = run_plan(plan, inputs, c.threads()).cast(c.output(0).dtype);
  if (result.size() > 0) std::memcpy(c.output(0).data, result.view().data, result.bytes().size());
}

// The plan in float32, its temporaries and the kernels' scratch one after the other in the step's scratch memory.
class EinsumSteps : public Step {
 public:
  EinsumSteps(EinsumPlan plan, size_t inputs, int threads) : plan_(std::move(plan)), inputs_(inputs) {
    for (size_t i = 0; i < plan_.elements.size(); ++i) {
      offsets_.push_back(scratch_);
      if (i > inputs_) reserve(static_cast<size_t>(plan_.elements[i]) * sizeof(float));
    }
    kernel_scratch_ = scratch_;
    size_t largest = 0;
    for (const EinsumStep& step : plan_.steps) {
      kernels_.push_back(step.kind == EinsumStep::Kind::kProduct ? kernel_of(step, threads) : nullptr);
      if (kernels_.back() != nullptr) largest = std::max(largest, kernels_.back()->scratch_bytes());
    }
    reserve(largest);
  }

  // False if a product has no fast kernel.
  bool complete() const {
    for (size_t i = 0; i < kernels_.size(); ++i) {
      if (plan_.steps[i].kind == EinsumStep::Kind::kProduct && kernels_[i] == nullptr) return false;
    }
    return true;
  }

  std::function<void()> bind(const StepIo& io) const override {
    const auto address = [&](size_t buffer) -> void* {
      if (buffer < inputs_) return const_cast<void*>(io.inputs[buffer].data);
      return buffer == inputs_ ? io.outputs[0].data : io.scratch + offsets_[buffer];
    };
    std::vector<std::function<void()>> calls;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const EinsumStep& step = plan_.steps[i];
      const void *a = address(step.a), *b = address(step.b);
      void* to = address(step.to);
      if (kernels_[i] != nullptr) {
        const void* operands[] = {a, b, nullptr};
        calls.push_back(kernels_[i]->bind(operands, to, io.scratch + kernel_scratch_));
      } else {
        const int64_t count = plan_.elements[step.to];
        calls.emplace_back([&step, count, a, b, to] { run_simple_step(step, DType::kFloat32, count, a, b, to); });
      }
    }
    return [calls = std::move(calls)] {
      for (const auto& call : calls) call();
    };
  }
  size_t scratch_bytes() const override { return scratch_; }
  std::string implementation() const override {
    for (const auto& kernel : kernels_) {
      if (kernel != nullptr) return kernel->implementation();
    }
    return "simd";
  }

 private:
  static std::unique_ptr<dnn::Kernel> kernel_of(const EinsumStep& step, int threads) {
    return dnn::make_matmul({.a_dims = {step.batch, step.m, step.k},
                             .b_dims = {step.batch, step.k, step.n},
                             .dst_dims = {step.batch, step.m, step.n},
                             .a_transposed = step.a_transposed,
                             .b_transposed = step.b_transposed,
                             .threads = threads});
  }
  void reserve(size_t bytes) { scratch_ += (bytes + 63) / 64 * 64; }

  EinsumPlan plan_;
  size_t inputs_;
  std::vector<size_t> offsets_;
  size_t scratch_ = 0;
  size_t kernel_scratch_ = 0;
  std::vector<std::unique_ptr<dnn::Kernel>> kernels_;
};

std::unique_ptr<Step> lower(const LowerContext& c) {
  if (c.input(0).dtype != DType::kFloat32 || !c.epilogues().empty()) return nullptr;
  std::vector<Dims> dims;
  for (size_t port = 0; port < c.input_count(); ++port) dims.push_back(c.input(port).dims);
  auto step =
      std::make_unique<EinsumSteps>(plan_einsum(labels_of(c.node(), dims), dims, true), c.input_count(), c.threads());
  return step->complete() ? std::move(step) : nullptr;
}

std::vector<Dims> input_dims(const AxesContext& c) {
  std::vector<Dims> dims;
  for (size_t port = 0; port < c.input_count(); ++port) dims.push_back(c.input(port));
  return dims;
}

// A label of the result passes through; any other is contracted.
std::vector<AxisRelation> axes(const AxesContext& c) {
  const std::vector<Dims> dims = input_dims(c);
  const EinsumLabels labels = labels_of(c.node(), dims);
  const std::vector<int64_t> extents = einsum_extents(labels, dims);
  std::vector<AxisRelation> relations;
  for (size_t label = 0; label < extents.size(); ++label) {
    if (extents[label] <= 1) continue;
    std::vector<AxisRef> refs;
    for (size_t port = 0; port < dims.size(); ++port) {
      for (size_t axis = 0; axis < dims[port].size(); ++axis) {
        const bool is_label = labels.inputs[port][axis] == static_cast<int>(label);
        if (is_label && dims[port][axis] > 1) refs.push_back(in_axis(port, axis));
      }
    }
    const auto at = std::find(labels.output.begin(), labels.output.end(), static_cast<int>(label));
    if (at == labels.output.end()) {
      relations.push_back(free_axis(extents[label], std::move(refs)));
    } else {
      refs.push_back(out_axis(0, static_cast<size_t>(at - labels.output.begin())));
      relations.push_back(tie(extents[label], std::move(refs)));
    }
  }
  return relations;
}

Cost cost(const CostContext& c) {
  const std::vector<Dims> dims = input_dims(c);
  return {plan_einsum(labels_of(c.node(), dims), dims, false).macs()};
}

Sample sample(std::string name, std::string equation, std::vector<Dims> operands, DType dtype = DType::kFloat32) {
  Sample result{.name = std::move(name), .inputs = {}, .attrs = {{"equation", std::move(equation)}}};
  const double bound = is_floating(dtype) ? 1 : 9;
  for (Dims& dims : operands) result.inputs.push_back(random_input(std::move(dims), -bound, bound, dtype));
  return result;
}

std::vector<Sample> samples() {
  return {
      sample("scores", "bhqd,bhkd->bhqk", {{2, 3, 5, 7}, {2, 3, 4, 7}}),
      sample("scores_heads_last", "bqhd,bkhd->bhqk", {{2, 5, 3, 7}, {2, 4, 3, 7}}),
      sample("values_heads_last", "bhqk,bkhd->bqhd", {{2, 3, 5, 4}, {2, 4, 3, 7}}),
      sample("relative_positions", "bhwc,hkc->bhwk", {{1, 3, 4, 5}, {3, 2, 5}}),
      sample("projection", "btc,hcd->bhtd", {{2, 5, 7}, {3, 7, 4}}),
      sample("right_times_left", "ik,jk->ji", {{3, 5}, {4, 5}}),
      sample("matmul_implicit", "ij,jk", {{3, 5}, {5, 4}}),
      sample("transpose_implicit", "ba", {{3, 5}}),
      sample("trace", "ii", {{5, 5}}),
      sample("diagonals", "...ii->...i", {{2, 3, 4, 4}}),
      sample("sum_of_rows", "ij->i", {{3, 7}}),
      sample("total", "i...->...", {{3, 5, 2}}),
      sample("outer", "i,j->ij", {{3}, {5}}),
      sample("elementwise", "ij,ij->ij", {{3, 5}, {3, 5}}),
      sample("inner", "i,i", {{7}, {7}}),
      sample("dots", "bi,bi->b", {{4, 9}, {4, 9}}),
      sample("ellipsis", "...ij,...jk->...ik", {{2, 3, 5}, {2, 5, 4}}),
      sample("letters_broadcast", "bij,bjk->bik", {{1, 3, 5}, {4, 5, 2}}),
      sample("sums_first", "abi,cib->ca", {{3, 2, 5}, {4, 5, 2}}),
      sample("three", "ai,bi,ci->abc", {{2, 5}, {3, 5}, {4, 5}}),
      sample("bilinear", "bn,anm,bm->ba", {{2, 3}, {5, 3, 4}, {2, 4}}),
      sample("spaces_and_capitals", " aB , Bc -> c a ", {{3, 5}, {5, 2}}),
      sample("scalars", ",->", {{}, {}}),
      sample("scalar_factor", ",ij->ji", {{}, {3, 2}}),
      sample("empty_sum", "ij,jk->ik", {{3, 0}, {0, 2}}),
      sample("float64", "ij,jk->ki", {{3, 5}, {5, 4}}, DType::kFloat64),
      sample("int32", "bij,bkj->bik", {{2, 3, 5}, {2, 4, 5}}, DType::kInt32),
      sample("int64_elementwise", "ij,j->ij", {{3, 5}, {5}}, DType::kInt64),
  };
}

}  // namespace

void add_einsum_op(OpTable& table) {
  table.add({.name = "einsum",
             .doc = "Sums of products over named axes.",
             .inputs = {{.name = "inputs", .variadic = true}},
             .outputs = {{"output"}},
             .attrs = {required_attr("equation", AttrType::kString)},
             .infer = infer,
             .run = run,
             .lower = lower,
             .quant = QuantRule::keep_float("which of its axes are channels depends on its equation"),
             .axes = axes,
             .cost = cost,
             .spellings = onnx_since("Einsum", 12),
             .samples = samples});
}

}  // namespace amct
