#include "kernels/dnnl/seam.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/deferred_work.h"

namespace amct::dnn {
namespace {

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha = 0, float beta = 0) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, beta);
#else
  ops.append_eltwise(1.0f, algorithm, alpha, beta);
#endif
}

void append_hardswish(dnnl::post_ops& ops) {
#if DNNL_VERSION_MAJOR >= 3
  append_eltwise(ops, dnnl::algorithm::eltwise_hardswish, 1.0f / 6, 0.5f);
#else
  append_eltwise(ops, dnnl::algorithm::eltwise_hardswish);
#endif
}

void append(dnnl::post_ops& ops, const PostOp& op, const MemoryDesc& dst) {
  using Kind = PostOp::Kind;
  using dnnl::algorithm;
  switch (op.kind) {
    case Kind::kClip:
      if (op.alpha == 0 && op.beta == std::numeric_limits<float>::infinity()) {
        return append_eltwise(ops, algorithm::eltwise_relu);
      }
      return append_eltwise(ops, algorithm::eltwise_clip, op.alpha, op.beta);
    case Kind::kLeakyRelu: return append_eltwise(ops, algorithm::eltwise_relu, op.alpha);
    case Kind::kElu: return append_eltwise(ops, algorithm::eltwise_elu, op.alpha);
    case Kind::kSigmoid: return append_eltwise(ops, algorithm::eltwise_logistic);
    case Kind::kTanh: return append_eltwise(ops, algorithm::eltwise_tanh);
    case Kind::kGeluErf: return append_eltwise(ops, algorithm::eltwise_gelu_erf);
    case Kind::kGeluTanh: return append_eltwise(ops, algorithm::eltwise_gelu_tanh);
    case Kind::kSwish: return append_eltwise(ops, algorithm::eltwise_swish, op.alpha);
    case Kind::kHardSwish: return append_hardswish(ops);
    case Kind::kHardSigmoid:
      append_eltwise(ops, algorithm::eltwise_linear, op.alpha, op.beta);
      return append_eltwise(ops, algorithm::eltwise_clip, 0, 1);
    case Kind::kSoftplus: return append_eltwise(ops, algorithm::eltwise_soft_relu, 1);
    case Kind::kSqrt: return append_eltwise(ops, algorithm::eltwise_sqrt);
    case Kind::kAbs: return append_eltwise(ops, algorithm::eltwise_abs);
    case Kind::kExp: return append_eltwise(ops, algorithm::eltwise_exp);
    case Kind::kLog: return append_eltwise(ops, algorithm::eltwise_log);
    case Kind::kLinear: return append_eltwise(ops, algorithm::eltwise_linear, op.alpha, op.beta);
    case Kind::kAdd: return ops.append_binary(algorithm::binary_add, dst);
    case Kind::kSum: return ops.append_sum(1.0f);
  }
}

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

namespace {

// A description whose axes lie in memory in the given order, the last one dense.
MemoryDesc dense(const Dims& dims, const std::vector<size_t>& order) {
  dnnl::memory::dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = stride;
    stride *= std::max<int64_t>(dims[order[i]], 1);
  }
  return MemoryDesc(dims, dnnl::memory::data_type::f32, strides);
}

std::vector<size_t> identity(size_t rank) {
  std::vector<size_t> order(rank);
  for (size_t i = 0; i < rank; ++i) order[i] = i;
  return order;
}

}  // namespace

MemoryDesc plain(const Dims& dims) { return dense(dims, identity(dims.size())); }

MemoryDesc swapped(const Dims& dims) {
  auto order = identity(dims.size());
  std::swap(order[dims.size() - 2], order[dims.size() - 1]);
  return dense(dims, order);
}

MemoryDesc in_order(const Operand& operand) {
  auto order = identity(operand.dims.size());
  if (operand.channels_last && order.size() >= 3) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  return dense(operand.dims, order);
}

MemoryDesc any_format(const Dims& dims) {
  return MemoryDesc(dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
}

bool has_elements(const Dims& dims) {
  return std::all_of(dims.begin(), dims.end(), [](int64_t extent) { return extent > 0; });
}

dnnl::primitive_attr make_attr(const std::vector<PostOp>& post_ops, const MemoryDesc& dst) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops ops;
  for (const PostOp& op : post_ops) append(ops, op, dst);
  attr.set_post_ops(ops);
  return attr;
}

void rethrow(const dnnl::error& error) {
  if (error.status == dnnl_out_of_memory) throw Error(ErrorCode::kResource, "not enough memory for a compute kernel");
  throw Error(ErrorCode::kInternal, fmt::format("oneDNN failed: {}", error.what()));
}

bool is_reference(const std::string& implementation) { return implementation.find("ref") != std::string::npos; }

struct Kernel::Impl {
  struct Slot {
    int argument = 0;
    MemoryDesc desc;
    int index = -1;         // address to bind, or -1 if `constant` is set
    dnnl::memory constant;  // created once: several workers read it
  };
  // A reorder before the primitive, into the scratch memory.
  struct Pack {
    dnnl::primitive reorder;
    MemoryDesc from, to, scratchpad;
    int argument = 0;
    int index = 0;
    size_t offset = 0;          // of the packed operand in the scratch memory
    size_t scratch_offset = 0;  // of the reorder's own scratchpad
  };
  dnnl::primitive primitive;
  std::string implementation;
  std::vector<Slot> slots;
  std::vector<Pack> packs;
  MemoryDesc dst, scratchpad;
  size_t scratch_bytes = 0;  // the primitive's scratchpad lies first
  std::vector<Tensor> keep_alive;
};

namespace {

// A primitive with its arguments at fixed addresses.
class BoundCalls {
 public:
  explicit BoundCalls(std::shared_ptr<const Kernel::Impl> impl) : impl_(std::move(impl)), stream_(engine()) {}

  void begin(const dnnl::primitive& primitive) { calls_.push_back({primitive.get(), {}}); }
  void add(int argument, const MemoryDesc& desc, void* address) {
    add(argument, dnnl::memory(desc, engine(), address));
  }
  void add(int argument, const dnnl::memory& memory) {
    memories_.push_back(memory);
    calls_.back().arguments.push_back({argument, memory.get()});
  }

  void run() const {
    for (const Call& call : calls_) {
      const dnnl_status_t status = dnnl_primitive_execute(
          call.primitive, stream_.get(), static_cast<int>(call.arguments.size()), call.arguments.data());
      if (status != dnnl_success) rethrow(dnnl::error(status, "execution of a primitive"));
    }
  }

 private:
  struct Call {
    const_dnnl_primitive_t primitive;
    std::vector<dnnl_exec_arg_t> arguments;
  };
  std::shared_ptr<const Kernel::Impl> impl_;
  dnnl::stream stream_;
  std::vector<dnnl::memory> memories_;
  std::vector<Call> calls_;
};

}  // namespace

std::function<void()> Kernel::bind(std::span<const void* const> inputs, void* output, std::byte* scratch) const {
  // The library takes addresses without const and only writes to outputs.
  const auto address = [&](int index) {
    AMCT_CHECK(static_cast<size_t>(index) < inputs.size() && inputs[index] != nullptr, "an operand is not bound");
    return const_cast<void*>(inputs[index]);
  };
  try {
    auto bound = std::make_shared<BoundCalls>(impl_);
    for (const Impl::Pack& pack : impl_->packs) {
      bound->begin(pack.reorder);
      bound->add(DNNL_ARG_FROM, pack.from, address(pack.index));
      bound->add(DNNL_ARG_TO, pack.to, scratch + pack.offset);
      bound->add(DNNL_ARG_SCRATCHPAD, pack.scratchpad, scratch + pack.scratch_offset);
    }
    bound->begin(impl_->primitive);
    for (const Impl::Slot& slot : impl_->slots) {
      if (slot.index < 0) {
        bound->add(slot.argument, slot.constant);
      } else {
        bound->add(slot.argument, slot.desc, address(slot.index));
      }
    }
    for (const Impl::Pack& pack : impl_->packs) bound->add(pack.argument, pack.to, scratch + pack.offset);
    bound->add(DNNL_ARG_DST, impl_->dst, output);
    bound->add(DNNL_ARG_SCRATCHPAD, impl_->scratchpad, scratch);
    return [bound] { bound->run(); };
  } catch (const dnnl::error& error) {
    rethrow(error);
  }
}

size_t Kernel::scratch_bytes() const { return impl_->scratch_bytes; }
bool Kernel::reads(int input) const {
  const auto is_input = [&](const auto& operand) { return operand.index == input; };
  return std::any_of(impl_->slots.begin(), impl_->slots.end(), is_input) ||
         std::any_of(impl_->packs.begin(), impl_->packs.end(), is_input);
}
const std::string& Kernel::implementation() const { return impl_->implementation; }

KernelBuilder::KernelBuilder() : impl_(std::make_shared<Kernel::Impl>()) {}

void KernelBuilder::set_primitive(std::function<dnnl::primitive()> create, std::string implementation,
                                  const MemoryDesc& scratchpad) {
  tasks_.push_back([create = std::move(create)](Kernel::Impl& impl) { impl.primitive = create(); });
  impl_->implementation = std::move(implementation);
  impl_->scratchpad = scratchpad;
  impl_->scratch_bytes = aligned(scratchpad.get_size());
}

// A constant operand whose memory is made later.
void KernelBuilder::fill_slot(int argument, const MemoryDesc& desc, std::function<dnnl::memory(Kernel::Impl&)> make) {
  tasks_.push_back(
      [make = std::move(make), at = impl_->slots.size()](Kernel::Impl& impl) { impl.slots[at].constant = make(impl); });
  impl_->slots.push_back({argument, desc, -1, {}});
}

void KernelBuilder::input(int argument, const MemoryDesc& desc, int index) {
  impl_->slots.push_back({argument, desc, index, {}});
}

void KernelBuilder::constant(int argument, const MemoryDesc& desc, const Tensor& value) {
  AMCT_CHECK(value.byte_size() == desc.get_size(), "a constant operand has the wrong size");
  fill_slot(argument, desc, [desc, value](Kernel::Impl& impl) {
    // Constants may lie anywhere in a mapped file.
    const Tensor resident = value.resident();
    const bool is_aligned = reinterpret_cast<uintptr_t>(resident.bytes().data()) % kAlignment == 0;
    const Tensor& kept = impl.keep_alive.emplace_back(is_aligned ? resident : Tensor::copy_of(resident.view()));
    return dnnl::memory(desc, engine(), const_cast<std::byte*>(kept.bytes().data()));
  });
}

void KernelBuilder::packed(int argument, const MemoryDesc& given, const MemoryDesc& wanted, const Tensor& value,
                           int index) {
  if (given == wanted) {
    return value ? constant(argument, given, value) : input(argument, given, index);
  }
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc desc(engine(), given, engine(), wanted, attr);
  if (!value) {
    const size_t offset = impl_->scratch_bytes;
    const size_t scratch_offset = offset + aligned(wanted.get_size());
    impl_->scratch_bytes = scratch_offset + aligned(desc.scratchpad_desc().get_size());
    impl_->packs.push_back(
        {dnnl::reorder(desc), given, wanted, desc.scratchpad_desc(), argument, index, offset, scratch_offset});
    return;
  }
  AMCT_CHECK(value.byte_size() == given.get_size(), "a constant operand has the wrong size");
  fill_slot(argument, wanted, [desc, given, wanted, value](Kernel::Impl& impl) {
    const Tensor resident = value.resident();
    dnnl::memory from(given, engine(), const_cast<std::byte*>(resident.bytes().data()));
    const auto bytes = static_cast<int64_t>(wanted.get_size());
    Tensor& packed = impl.keep_alive.emplace_back(Tensor::allocate(DType::kUInt8, {bytes}));
    dnnl::memory to(wanted, engine(), packed.mutable_data());
    dnnl::memory scratchpad(desc.scratchpad_desc(), engine());
    dnnl::stream stream(engine());
    dnnl::reorder(desc).execute(stream, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratchpad}});
    stream.wait();
    return to;
  });
}

void KernelBuilder::output(const MemoryDesc& desc) { impl_->dst = desc; }

void KernelBuilder::operands(const std::vector<PostOp>& post_ops, const MemoryDesc& dst, int first_index) {
  int position = 0;  // among the library's post-operations: a hard sigmoid takes two
  for (const PostOp& op : post_ops) {
    if (op.kind == PostOp::Kind::kAdd) {
      input(DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1, dst, first_index++);
    }
    position += op.kind == PostOp::Kind::kHardSigmoid ? 2 : 1;
  }
}

std::unique_ptr<Kernel> KernelBuilder::finish() {
  if (!DeferredWork::is_collected()) {
    for (const Task& task : tasks_) task(*impl_);
  } else {
    // Primitives are tuned for the limit they are created under.
    DeferredWork::put_off([impl = impl_, tasks = std::move(tasks_), threads = omp_get_max_threads()] {
      const ThreadLimit limit(threads);
      try {
        for (const Task& task : tasks) task(*impl);
      } catch (const dnnl::error& error) {
        rethrow(error);
      }
    });
  }
  return std::make_unique<Kernel>(std::move(impl_));
}

}  // namespace amct::dnn
