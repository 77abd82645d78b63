// The tile of byte_dot.h, to be included once per instruction set inside a namespace that defines V, a vector of kLanes
// 32-bit integers, and `dot` on it.

inline V load(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
inline void store(const V& value, void* to) { std::memcpy(to, &value, sizeof(value)); }
inline V broadcast(const uint8_t* from) {  // four bytes to all lanes
  int32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  return V{} + quad;
}
inline V flipped(const V& bytes) { return bytes ^ static_cast<int32_t>(0x80808080U); }  // 128 added to each

template <int kRows, int kVectors, bool kFlip>
inline void tile(const ByteTile& t, int64_t column) {
  V sums[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const V start = load(t.start + column + v * kLanes);
    for (int r = 0; r < kRows; ++r) sums[r][v] = start;
  }
  const int64_t step = (kLanes == 16 ? t.width : kVectors * kLanes) * 4;
  const int8_t* w = t.weights + column * static_cast<int64_t>(t.runs.size()) * t.run_bytes;
  for (const int64_t run : t.runs) {
    const uint8_t* x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = t.x[r] + run;
    for (int64_t k = 0; k < t.run_bytes; k += 4, w += step) {
      V weights[kVectors];
      for (int v = 0; v < kVectors; ++v) weights[v] = load(w + v * kLanes * 4);
      for (int r = 0; r < kRows; ++r) {
        V quad = broadcast(x[r] + k);
        if constexpr (kFlip) quad = flipped(quad);
        for (int v = 0; v < kVectors; ++v) sums[r][v] = dot(sums[r][v], quad, weights[v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) store(sums[r][v], t.sums + r * t.ld + column + v * kLanes);
  }
}

template <int kRows, int kVectors>
inline void whole_tiles(ByteTile& t, int64_t column) {
  for (; t.rows >= kRows; t.rows -= kRows, t.x += kRows, t.sums += kRows * t.ld) {
    t.flip ? tile<kRows, kVectors, true>(t, column) : tile<kRows, kVectors, false>(t, column);
  }
}

// All rows, kRows at a time and the rest in powers of two.
template <int kRows, int kVectors>
inline void rows_of_tile(ByteTile t, int64_t column) {
  whole_tiles<kRows, kVectors>(t, column);
  if constexpr (kRows > 1) {
    if (t.rows > 0) rows_of_tile<(kRows > 4 ? 4 : kRows / 2), kVectors>(t, column);
  }
}

// With 32 registers, 24 sums, 4 weights and a broadcast quad live in them; with 16, 12 sums, 2 weights and the quad.
// The first columns come last: those before them may have written over them.
void run(const ByteTile& t) {
  if constexpr (kLanes == 16) {
    switch (t.width / kLanes) {
      case 1: return rows_of_tile<8, 1>(t, 0);
      case 2: return rows_of_tile<8, 2>(t, 0);
      case 3: return rows_of_tile<8, 3>(t, 0);
      default: return rows_of_tile<6, 4>(t, 0);
    }
  } else {
    for (int64_t column = t.width - 2 * kLanes; column >= 0; column -= 2 * kLanes) rows_of_tile<6, 2>(t, column);
  }
}
int rows_at_once(int64_t width) { return kLanes == 16 && width < ByteBlock::kMaxWidth ? 8 : 6; }
