// Reads batches of samples ahead of the network, in threads of its own, into a ring of buffers: memory depends on the
// depth of the ring, not on the number of samples.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/source.h"

namespace amct {

struct PrefetchOptions {
  size_t first = 0;  // sample
  size_t count = 0;  // samples; clipped to the source's
  size_t batch = 1;  // rows of a batch
  bool pad = true;   // fill the last batch up by repeating its last sample (a model with a fixed batch needs that);
                     // false: the last batch has fewer rows
  int threads = 2;   // decoding threads
  size_t depth =
      0;  // buffers; at least threads + the number of batches that consumers hold at once. 0 = twice threads + 2
};

class Prefetcher {
 private:
  struct Slot;

 public:
  // One batch; its buffer goes back to the ring when it is destroyed.
  class Batch {
   public:
    Batch(Batch&&) noexcept;
    Batch& operator=(Batch&&) = delete;
    ~Batch();
    size_t index() const;                       // of the batch
    size_t first() const;                       // sample of row 0
    size_t valid() const;                       // rows that are samples; the others repeat the last of them
    const std::vector<Tensor>& inputs() const;  // in the order of the model's inputs, batch axis first

   private:
    friend class Prefetcher;
    Batch(Prefetcher* owner, Slot* slot) : owner_(owner), slot_(slot) {}
    Prefetcher* owner_;
    Slot* slot_;
  };

  // `source` and `inputs` are those of open_data; both must outlive this. Starts reading at once.
  Prefetcher(const DataSource& source, const std::vector<InputSpec>& inputs, const PrefetchOptions& options);
  ~Prefetcher();  // no batch may be alive
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  size_t samples() const { return count_; }
  // The next batch in order, to whichever thread asks; nullopt when there are no more. A sample that cannot be read
  // throws here, in its turn, and ends the stream for everyone.
  std::optional<Batch> next();

 private:
  void work();
  void fill(Slot& slot) const;
  void release(Slot* slot);

  const DataSource& source_;
  std::vector<InputSpec> inputs_;
  PrefetchOptions options_;
  size_t count_ = 0;
  size_t batches_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::mutex mutex_;
  std::condition_variable freed_, filled_;
  size_t claimed_ = 0;    // batches that a decoder has taken
  size_t delivered_ = 0;  // batches that went out
  bool stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace amct
