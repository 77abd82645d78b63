// Scaling of 8-bit images by separable filters.
//
// Output pixel i of an axis that shrinks by s (input extent / output extent, the former real-valued for a reduced JPEG)
// is a weighted mean of input pixels around c = (i + 1/2) s. Weights of input pixel j, normalised to sum 1 and kept in
// 22-bit fixed point:
//   antialias  max(0, 1 - |j + 1/2 - c| / max(s, 1)): bilinear, widened with the reduction
//   area       the overlap of [j, j + 1] with [i s, (i + 1) s]; bilinear where the axis grows
//   nearest    1 at j = floor(c)
// Rows first, then columns, each rounded to 8 bits: the numbers are those of the Python imaging library.
#pragma once

#include "data/image.h"
#include "data/preprocess.h"

namespace amct {

struct Window {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// The part `window` of `image` scaled to `size`; only what the window needs is computed. `original` is the size of the
// picture before image.reduction, so that a reduced picture is not stretched by its rounded-up size.
Image resize_window(const Image& image, const ImageSize& original, const ImageSize& size, PreprocessSpec::Filter filter,
                    const Window& window);

}  // namespace amct
