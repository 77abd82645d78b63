// One worker's runners, each with its own memory, of the programs that it ran last (program_cache.h).
//
// Programs are shared by workers, runners are not, and making one takes an arena and binds every step. Inputs of ever
// other extents must not fill the memory with arenas: as many runners stay as the cache keeps programs
// (kCachedPrograms), those used longest ago go first.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "exec/program.h"

namespace amct {

class RunnerCache {
 public:
  // Copies in what the program reads of `inputs` (in the order of the graph's), runs it, and returns copies of the
  // values `wanted`, each an output or kept.
  std::vector<Tensor> run(const std::shared_ptr<const Program>& program, const std::vector<Tensor>& inputs,
                          const std::vector<ValueId>& wanted, const ObserveFn& observe = {},
                          Profile* profile = nullptr);
  void clear() { runners_.clear(); }

 private:
  Runner& runner_of(const std::shared_ptr<const Program>& program);

  std::list<std::unique_ptr<Runner>> runners_;  // most recently used first
};

}  // namespace amct
