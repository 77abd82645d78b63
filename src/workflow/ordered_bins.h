// HFMG's own histograms (passes/quantize/hfmg.h) while samples run on several workers: they depend on the order of the
// batches, so each worker waits with a tensor until those with earlier samples have shown theirs. The worker with the
// earliest samples never waits, and after the first tensors all run a little behind each other without waiting long.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <vector>

#include "base/byte_stream.h"
#include "ir/tensor.h"
#include "passes/quantize/hfmg.h"

namespace amct {

// The histograms of one tensor, one for each number of bins that somebody asks for.
struct TensorBins {
  std::vector<int> bins;
  std::vector<EqualBins> histograms;  // as many

  bool empty() const { return bins.empty(); }
  const EqualBins* find(int number) const;  // null if nobody asked for it
  void add(std::span<const float> batch);

  void write(ByteWriter& out) const;
  static TensorBins read(ByteReader& in);  // throws Error(kInput)
};

class OrderedBins {
 public:
  // `tensors`: what is known, by tensor; those that nobody asks for are empty. `batch`: samples that enter a histogram
  // together; `rows`: samples in a run.
  OrderedBins(std::vector<TensorBins> tensors, int64_t batch, int64_t rows);

  // A tensor in run `run` (0, 1, …), every tensor once in every run; not finite values are left to others to report.
  // Throws what `stop` was given.
  void add(size_t tensor, size_t run, const TensorView& view);
  void stop(std::exception_ptr fault);  // a worker has failed: the others must not wait for it

  // When all runs are over, or a multiple of `runs_of_a_batch` of them.
  const std::vector<TensorBins>& finish();
  size_t runs_of_a_batch() const { return runs_of_a_batch_; }
  bool wants(size_t tensor) const { return !tensors_[tensor].empty(); }

 private:
  struct Pending {
    std::vector<float> values;  // of a batch that is not complete
    size_t runs = 0;            // that have shown the tensor
  };
  void take(size_t tensor, const TensorView& view);

  size_t runs_of_a_batch_;
  std::vector<TensorBins> tensors_;
  std::vector<Pending> pending_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr fault_;
};

}  // namespace amct
