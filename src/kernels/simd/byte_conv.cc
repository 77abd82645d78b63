#include "kernels/simd/byte_conv.h"

#include <algorithm>
#include <cstring>

#include "base/wrapping.h"
#include "kernels/simd/int_epilogue_tile.h"
#include "kernels/simd/int_image.h"

namespace amct {
namespace {

using Spatial = IntConvShape::Spatial;

// True if whole rows of the window are adjacent in a channels-last image.
bool joins_rows(const IntConvShape& shape) { return shape.groups == 1 && shape.dilations[2] == 1; }

int64_t run_values(const IntConvShape& shape) { return shape.in_group() * (joins_rows(shape) ? shape.kernel[2] : 1); }

bool needs_pads(const IntConvShape& shape) {
  const Spatial padded = shape.padded();
  for (size_t i = 0; i < 3; ++i) {
    if (shape.pads[i] != 0 || padded[i] > shape.input[i]) return true;
  }
  return false;
}

}  // namespace

ByteImage::ByteImage(const IntConvShape& shape, bool exact, int value_bytes)
    : shape_(shape),
      extents_(shape.padded()),
      value_bytes_(value_bytes),
      direct_(exact && value_bytes == 1 && shape.channels_last && !needs_pads(shape)) {
  if (direct_) extents_ = shape.input;
}

size_t ByteImage::bytes() const {
  constexpr size_t kSlack = 64;  // what a vector may read behind the last element
  return direct_ ? 0
                 : static_cast<size_t>(IntConvShape::product(extents_) * shape_.in_channels * value_bytes_) + kSlack;
}

const uint8_t* ByteImage::sample(const IntInput& x, int64_t n, uint8_t* scratch) const {
  if (direct_) {
    return static_cast<const uint8_t*>(x.data) + n * IntConvShape::product(shape_.input) * shape_.in_channels;
  }
  const auto zero = static_cast<uint8_t>(unsigned_zero(x));
  if (value_bytes_ == 1) {
    fill_unsigned(shape_, extents_, x, n, zero, scratch);
  } else {
    fill_unsigned(shape_, extents_, x, n, uint16_t{zero}, reinterpret_cast<uint16_t*>(scratch));
  }
  return scratch;
}

void ByteImage::windows(const uint8_t* image, int64_t first, int64_t count, int64_t pixel_step,
                        const uint8_t** x) const {
  const int64_t width = shape_.output[2], pixel = shape_.strides[2] * shape_.in_channels * value_bytes_;
  int64_t row = first / width, column = first % width;
  while (count > 0) {
    const int64_t here = std::min(count, (width - column + pixel_step - 1) / pixel_step);
    const Spatial begin{row / shape_.output[1], row % shape_.output[1], column};
    const uint8_t* at = image + window_begin(shape_, extents_, begin) * value_bytes_;
    for (int64_t i = 0; i < here; ++i) x[i] = at + i * pixel_step * pixel;
    x += here;
    count -= here;
    column = 0;
    ++row;
  }
}

std::vector<int64_t> ByteImage::positions(bool join_rows) const {
  std::vector<int64_t> offsets = window_offsets(shape_, extents_, join_rows);
  for (int64_t& offset : offsets) offset *= value_bytes_;
  return offsets;
}

void start_values(std::span<const int64_t> weight_sums, const int32_t* bias, int32_t zero, int32_t* start) {
  for (size_t i = 0; i < weight_sums.size(); ++i) {
    start[i] = wrapping_sub<int32_t>(bias != nullptr ? bias[i] : 0, zero * weight_sums[i]);
  }
}

ByteConv::ByteConv(const IntConvShape& shape, const ByteDot& dot, std::span<const int16_t> weights)
    : shape_(shape),
      dot_(dot),
      image_(shape, run_values(shape) % 4 == 0, dot.value_bytes),
      runs_(image_.positions(joins_rows(shape))),
      run_bytes_((run_values(shape) * dot.value_bytes + 3) / 4 * 4) {
  const int64_t run = run_values(shape);
  const auto count = static_cast<int64_t>(runs_.size());
  for (int64_t g = 0; g < shape.groups; ++g) {
    for (ByteBlock& block : byte_blocks(dot, shape.out_group(), count * run_bytes_)) {
      block.first += g * shape.out_group();
      for (int64_t row = 0; row < block.rows; ++row) {
        const int16_t* from = weights.data() + (block.first + row) * count * run;
        for (int64_t k = 0; k < count * run; ++k) {
          int8_t* to = block.quads.data() + byte_index(block, row, k / run * run_bytes_ + k % run * dot.value_bytes);
          if (dot.value_bytes == 1) {
            *to = static_cast<int8_t>(from[k]);
          } else {
            std::memcpy(to, from + k, sizeof(from[k]));
          }
        }
      }
      blocks_.push_back(std::move(block));
    }
  }
}

// One block of output channels over a range of output pixels of one sample.
struct ByteConv::Task {
  const ByteBlock& block;
  const uint8_t* image;
  bool flip;
  const int32_t* start;
  const IntEpilogue& epilogue;
  const IntEpilogue::Rows& to;
  int64_t first_row;  // of the sample's pixels in the result
  int64_t begin, end;
};

void ByteConv::run_task(const Task& task) const {
  const ByteBlock& block = task.block;
  const int64_t channels = shape_.out_channels;
  alignas(64) int32_t start[ByteBlock::kMaxWidth] = {};
  alignas(64) int32_t sums[ByteTile::kSums + ByteBlock::kMaxWidth];
  std::copy_n(task.start + block.first, block.rows, start);
  const uint8_t* image = task.image + block.first / shape_.out_group() * shape_.in_group() * dot_.value_bytes;
  const int64_t ld = block.rows == channels ? channels : block.width;  // rows of all channels lie side by side
  const int64_t multiple = dot_.rows_at_once(block.width);
  const int64_t most = ByteTile::kSums / block.width / multiple * multiple;
  const uint8_t* x[ByteTile::kMaxRows];
  ByteTile tile{.x = x,
                .flip = task.flip,
                .runs = runs_,
                .run_bytes = run_bytes_,
                .weights = block.quads.data(),
                .width = block.width,
                .start = start,
                .sums = sums,
                .ld = ld};
  for (int64_t pixel = task.begin; pixel < task.end; pixel += tile.rows) {
    tile.rows = static_cast<int>(std::min(most, task.end - pixel));
    image_.windows(image, pixel, tile.rows, 1, x);
    dot_.run(tile);
    const int64_t at = (task.first_row + pixel) * channels + block.first;
    apply_epilogue(task.epilogue, {sums, ld, tile.rows, block.rows, block.first, at, channels}, task.to);
  }
}

void ByteConv::run(const IntInput& x, const int32_t* start, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
                   int threads, uint8_t* scratch) const {
  const int64_t pixels = IntConvShape::product(shape_.output);
  constexpr int64_t kFewest = 48;  // pixels of a task, for the weights' way to the cache to pay
  const int64_t chunk = task_chunk(pixels, kFewest, threads);
  const int64_t chunks = (pixels + chunk - 1) / chunk;
  const auto blocks = static_cast<int64_t>(blocks_.size());
  const bool flip = image_.is_direct() && x.type == IntInput::Type::kInt8;
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const uint8_t* image = image_.sample(x, n, scratch);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t t = 0; t < blocks * chunks; ++t) {
      const int64_t begin = t % chunks * chunk;
      run_task({blocks_[static_cast<size_t>(t / chunks)], image, flip, start, epilogue, to, n * pixels, begin,
                std::min(pixels, begin + chunk)});
    }
  }
}

}  // namespace amct
