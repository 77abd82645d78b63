// Which vector instructions the kernels of this folder use.
//
// Processors differ in two independent things: how long vectors are, and whether one instruction adds four products of
// bytes (VNNI). Desktop processors have the latter without long vectors, so that levels are sets of abilities and not
// a ladder. Highway chooses by itself among what it may; kernels in intrinsics ask here.
#pragma once

namespace amct {

// Bits: vectors of 32 bytes, of 64 bytes, VNNI.
enum class VectorLevel : unsigned { kSse4 = 0, kAvx2 = 1, kAvx2Vnni = 1 | 4, kAvx512 = 1 | 2, kAvx512Vnni = 1 | 2 | 4 };

// Leaves instructions beyond `level` unused. Before the first kernel asks: what it has been told stays with it.
void limit_vectors(VectorLevel level);

// True if kernels may use all instructions of this level, should the processor have them.
bool vectors_allowed(VectorLevel level);

}  // namespace amct
