// The seam to oneDNN: the one source that compiles against versions 2.6 and 3.x, for the files of this folder only.
//
// The versions differ in how a primitive descriptor is made (2.x: an operation descriptor first), in the scale that
// append_eltwise takes (2.x) and in hard-swish (3.x: with coefficients).
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/tensor.h"
#include "kernels/dnnl/kernel.h"
#include "kernels/threads.h"

namespace amct::dnn {

using MemoryDesc = dnnl::memory::desc;

const dnnl::engine& engine();  // the processor

MemoryDesc plain(const Dims& dims);           // row-major float32
MemoryDesc swapped(const Dims& dims);         // the last two axes swapped in memory
MemoryDesc in_order(const Operand& operand);  // plain or channels-last
MemoryDesc any_format(const Dims& dims);      // the library chooses
bool has_elements(const Dims& dims);          // no extent is 0

dnnl::primitive_attr make_attr(const std::vector<PostOp>& post_ops, const MemoryDesc& dst);

// A descriptor of primitive P: empty if the library has no implementation.
template <typename P, typename... Args>
typename P::primitive_desc make_desc(const dnnl::primitive_attr& attr, Args&&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine(), std::forward<Args>(args)..., attr, true);
#else
  return typename P::primitive_desc(typename P::desc(std::forward<Args>(args)...), attr, engine(), true);
#endif
}

// Rethrows an exception of the library as Error.
[[noreturn]] void rethrow(const dnnl::error& error);

// Runs `create`, which returns a kernel or null. Null also where the library has no kernel for the case (it says so
// with either status below): whoever asked then computes with a plain kernel.
template <typename F>
std::unique_ptr<Kernel> guarded(int threads, F&& create) {
  const ThreadLimit limit(threads);  // primitives are tuned for the limit they are created under
  try {
    return create();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments) return nullptr;
    rethrow(error);
  }
}

// True for the library's reference implementations, which are slower than ours would be.
bool is_reference(const std::string& implementation);

// Puts a kernel together from a primitive descriptor and its operands. Creating the primitive and packing constants
// is left to whoever collects deferred work (kernels/deferred_work.h); without one, `finish` does it.
class KernelBuilder {
 public:
  KernelBuilder();
  // Takes the primitive; false if there is none or only a reference implementation.
  template <typename P>
  bool take(const typename P::primitive_desc& desc) {
    if (desc.get(true) == nullptr || is_reference(desc.impl_info_str())) return false;
    set_primitive([desc] { return P(desc); }, desc.impl_info_str(), desc.scratchpad_desc());
    return true;
  }
  void input(int argument, const MemoryDesc& desc, int index);  // read from address `index` of bind
  // An operand that comes as `given` and is wanted as `wanted`: packed now if `value` is set, in every call if not.
  void packed(int argument, const MemoryDesc& given, const MemoryDesc& wanted, const Tensor& value, int index);
  void constant(int argument, const MemoryDesc& desc, const Tensor& value);
  void output(const MemoryDesc& desc);
  // The operands of kAdd: addresses from `first_index` on.
  void operands(const std::vector<PostOp>& post_ops, const MemoryDesc& dst, int first_index);
  std::unique_ptr<Kernel> finish();

 private:
  using Task = std::function<void(Kernel::Impl&)>;
  void set_primitive(std::function<dnnl::primitive()> create, std::string implementation, const MemoryDesc& scratchpad);
  void fill_slot(int argument, const MemoryDesc& desc, std::function<dnnl::memory(Kernel::Impl&)> make);
  std::shared_ptr<Kernel::Impl> impl_;
  std::vector<Task> tasks_;
};

}  // namespace amct::dnn
