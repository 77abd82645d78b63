#include "exec/runner_cache.h"

#include <cstring>

#include "exec/program_cache.h"

namespace amct {

std::vector<Tensor> RunnerCache::run(const std::shared_ptr<const Program>& program, const std::vector<Tensor>& inputs,
                                     const std::vector<ValueId>& wanted, const ObserveFn& observe, Profile* profile) {
  Runner& runner = runner_of(program);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!program->reads_input(i)) continue;
    const auto bytes = inputs[i].bytes();
    std::memcpy(runner.input(i).data, bytes.data(), bytes.size());
  }
  runner.run(observe, profile);
  std::vector<Tensor> results;
  for (const ValueId id : wanted) results.push_back(Tensor::copy_of(runner.value(id)));
  return results;
}

Runner& RunnerCache::runner_of(const std::shared_ptr<const Program>& program) {
  for (auto at = runners_.begin(); at != runners_.end(); ++at) {
    if (&(*at)->program() != program.get()) continue;
    runners_.splice(runners_.begin(), runners_, at);
    return *runners_.front();
  }
  runners_.push_front(std::make_unique<Runner>(program));
  if (runners_.size() > kCachedPrograms) runners_.pop_back();
  return *runners_.front();
}

}  // namespace amct
