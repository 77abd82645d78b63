// Which vector instructions the kernels of this folder use.
#pragma once

namespace amct {

enum class VectorLevel { kSse4, kAvx2, kAvx512, kAvx512Vnni };

// Leaves instructions beyond `level` unused. Before the first kernel runs.
void limit_vectors(VectorLevel level);

// True if kernels may use instructions of this level, should the processor have them.
bool vectors_allowed(VectorLevel level);

}  // namespace amct
