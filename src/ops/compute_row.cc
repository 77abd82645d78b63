#include "ops/compute_row.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/input_checks.h"
#include "ops/integer_compute.h"

namespace amct {
namespace {

dnn::PostOp::Kind kind_of(Epilogue::Kind kind) {
  using E = Epilogue::Kind;
  using P = dnn::PostOp::Kind;
  switch (kind) {
    case E::kClip: return P::kClip;
    case E::kLeakyRelu: return P::kLeakyRelu;
    case E::kElu: return P::kElu;
    case E::kSigmoid: return P::kSigmoid;
    case E::kTanh: return P::kTanh;
    case E::kGeluErf: return P::kGeluErf;
    case E::kGeluTanh: return P::kGeluTanh;
    case E::kSwish: return P::kSwish;
    case E::kHardSwish: return P::kHardSwish;
    case E::kHardSigmoid: return P::kHardSigmoid;
    case E::kSoftplus: return P::kSoftplus;
    case E::kSqrt: return P::kSqrt;
    case E::kAbs: return P::kAbs;
    case E::kExp: return P::kExp;
    case E::kLog: return P::kLog;
    case E::kLinear: return P::kLinear;
    case E::kAdd: return P::kAdd;
    case E::kInteger: break;
  }
  internal_error("unknown kind of epilogue");
}

class KernelStep : public Step {
 public:
  KernelStep(std::unique_ptr<dnn::Kernel> kernel, std::vector<size_t> ports, size_t input_count,
             const std::vector<dnn::PostOp>& post_ops)
      : kernel_(std::move(kernel)), ports_(std::move(ports)), input_count_(input_count) {
    for (const dnn::PostOp& op : post_ops) {
      if (op.kind == dnn::PostOp::Kind::kAdd) in_place_.push_back(false);
      if (op.kind == dnn::PostOp::Kind::kSum) in_place_.push_back(true);
    }
  }

  std::function<void()> bind(const StepIo& io) const override {
    std::vector<const void*> inputs;
    for (const size_t port : ports_) inputs.push_back(port < input_count_ ? io.inputs[port].data : nullptr);
    for (size_t i = 0; i < in_place_.size(); ++i) {
      const void* operand = io.inputs[input_count_ + i].data;
      if (!in_place_[i]) {
        inputs.push_back(operand);
      } else {
        AMCT_CHECK(operand == io.outputs[0].data, "a sum in place needs its operand where the result goes");
      }
    }
    return kernel_->bind(inputs, io.outputs[0].data, io.scratch);
  }
  size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  std::string implementation() const override { return kernel_->implementation(); }
  bool reads(size_t input) const override {
    if (input >= input_count_) return true;
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (ports_[i] == input) return kernel_->reads(static_cast<int>(i));
    }
    return false;
  }
  bool sums_in_place() const override { return std::find(in_place_.begin(), in_place_.end(), true) != in_place_.end(); }

 private:
  std::unique_ptr<dnn::Kernel> kernel_;
  std::vector<size_t> ports_;
  size_t input_count_;
  std::vector<bool> in_place_;  // per addition
};

}  // namespace

DType compute_output_type(const InferContext& c) {
  const DType dtype = c.dtype(0);
  if (is_integer_compute(dtype)) return DType::kInt32;
  if (dtype != DType::kUndefined && (!is_floating(dtype) || bit_width(dtype) < 16)) {
    c.fail(fmt::format("its input has type {}; floating point, int4, int8, uint8 or int16 is needed", name_of(dtype)));
  }
  return dtype;
}

void expect_operands_of_input_type(const InferContext& c) {
  if (!is_integer_compute(c.dtype(0))) expect_same_types(c);
}

void export_compute(ExportContext& c) {
  const Node& node = c.node();
  if (node.row->attr("x_offset") != nullptr && attr_int(node, "x_offset") != 0) {
    c.unsupported("an integer operator with an input offset has no ONNX form of its own");
  }
  std::vector<std::string> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(c.value_name(input));
  Attrs attrs = node.attrs;
  attrs.erase("x_offset");
  attrs.erase("weight_layout");
  c.emit(std::move(inputs), std::move(attrs));
}

std::string check_constant(const Graph& graph, const Node& node, size_t port, const char* what) {
  if (!node.input(port).valid() || graph.constant(node.input(port)) != nullptr) return {};
  return fmt::format("its {} is computed, not constant", what);
}

std::unique_ptr<Step> lower_kernel(const LowerContext& c, std::vector<size_t> ports, const MakeKernel& make) {
  std::vector<dnn::PostOp> post_ops;
  for (const Epilogue& epilogue : c.epilogues()) {
    if (epilogue.kind == Epilogue::Kind::kInteger) return nullptr;
    post_ops.push_back({kind_of(epilogue.kind), epilogue.alpha, epilogue.beta});
  }
  const auto step = [&](const std::vector<dnn::PostOp>& ops) -> std::unique_ptr<Step> {
    auto kernel = make(ops);
    if (kernel == nullptr) return nullptr;
    return std::make_unique<KernelStep>(std::move(kernel), ports, c.input_count(), ops);
  };
  const auto addition = std::find_if(post_ops.begin(), post_ops.end(),
                                     [](const dnn::PostOp& op) { return op.kind == dnn::PostOp::Kind::kAdd; });
  if (addition == post_ops.end()) return step(post_ops);
  std::vector<dnn::PostOp> summed = post_ops;
  summed[static_cast<size_t>(addition - post_ops.begin())].kind = dnn::PostOp::Kind::kSum;
  if (auto in_place = step(summed)) return in_place;
  return step(post_ops);
}

}  // namespace amct
