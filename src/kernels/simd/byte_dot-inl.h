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
  const int64_t step = t.width * 4;
  const int8_t* w = t.weights + column * 4;
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
