// Arrays in files: .npy, .npz, idx and TensorProto, told apart as by their first bytes; the first rows are read too.
#include <algorithm>
#include <vector>

#include "data/npy.h"
#include "data/raw_arrays.h"
#include "fuzz/fuzz_input.h"

using namespace amct;

namespace {

void read_rows(const StoredArray& array) {
  if (array.rows() == 0) return;  // there is nothing to read: no row is asked for
  const TensorView row{array.dtype, array.row_dims(), nullptr};
  std::vector<std::byte> bytes(row.bytes());
  for (int64_t i = 0; i < std::min<int64_t>(array.rows(), 3); ++i) read_row(array, i, bytes);
  (void)read_whole(array);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto path = fuzz::as_file(data, size, "array");
  fuzz::accepts([&] {
    if (text.starts_with("PK")) {
      for (const StoredArray& array : open_npz(path)) read_rows(array);
    } else if (text.starts_with("\x93")) {
      read_rows(open_npy(path));
    } else if (is_idx(path)) {
      read_rows(open_idx(path));
    } else {
      read_rows(open_tensor_proto(path));
    }
  });
  return 0;
}
