// One block of memory for all intermediates of a program: buffers whose lifetimes do not overlap share addresses.
#pragma once

#include <cstddef>
#include <vector>

namespace amct {

// A buffer that lives from the step that writes it through the last step that reads it, both included.
struct ArenaBuffer {
  size_t bytes = 0;
  int first_step = 0;
  int last_step = 0;
  size_t offset = 0;  // filled by plan_arena; a multiple of 64
};

// Assigns offsets, largest buffers first, each at the lowest place that is free during its lifetime; thousands of
// buffers in the order of their first steps, which takes nearly linear time. Returns the size of the arena.
size_t plan_arena(std::vector<ArenaBuffer>& buffers);

}  // namespace amct
