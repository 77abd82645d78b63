#include "exec/observer.h"

#include <algorithm>
#include <array>

#include "ir/dispatch.h"

namespace amct {

void Observer::observe(const TensorView& view) {
  const auto count = static_cast<size_t>(view.size());
  if (view.dtype == DType::kFloat32) {
    histogram_.add({view.as<float>(), count});
    return;
  }
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    const T* elements = view.as<T>();
    std::array<float, 1024> block;
    for (size_t start = 0; start < count; start += block.size()) {
      const size_t part = std::min(block.size(), count - start);
      std::transform(elements + start, elements + start + part, block.begin(),
                     [](T element) { return static_cast<float>(element); });
      histogram_.add({block.data(), part});
    }
  });
}

}  // namespace amct
