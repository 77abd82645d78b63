// Functions of one byte by a table of all 256 results.
#pragma once

#include <cstddef>
#include <cstdint>

namespace amct {

// y[i] = table[x[i]]; y may be x.
void look_up_bytes(const uint8_t* x, const uint8_t* table, uint8_t* y, size_t count);

}  // namespace amct
