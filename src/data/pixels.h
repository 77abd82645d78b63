// From decoded images to what the network reads: geometry, scaling, colour order, normalisation, layout and element
// type in one place (PreprocessSpec says what, the model's input says where to).
#pragma once

#include <string>
#include <vector>

#include "data/image.h"
#include "data/preprocess.h"
#include "data/resize.h"
#include "data/source.h"

namespace amct {

class ImagePipeline {
 public:
  // Throws Error(kConfig / kInput) when the input cannot hold images or the numbers cannot be stored in its type.
  ImagePipeline(const PreprocessSpec& spec, const InputSpec& input);

  // Extents of a sample (without batch) made from an image of this size. Throws Error(kInput) naming `label`, the
  // input, the expected shape and the options that help when the model's input cannot take it.
  Dims sample_dims(const ImageSize& size, const std::string& label) const;
  // True if images of any size give one and the same extents.
  bool fixed_dims() const;

  // Decodes and converts into `destination`, which has sample_dims.
  void read(std::span<const std::byte> file, const MutableView& destination, const std::string& label) const;
  // The same for pixels that came as an array: height x width x channels (1 or 3), channels_first if the array is
  // channels x height x width. 8-bit arrays go through everything; others cannot be scaled.
  Dims array_sample_dims(const Dims& row, const std::string& label) const;
  void read_array(const TensorView& row, const MutableView& destination, const std::string& label) const;

 private:
  struct Geometry {
    ImageSize scaled;
    Window window;
  };
  Geometry geometry(const ImageSize& size, const std::string& label) const;
  Dims dims_of(int height, int width) const;
  void check_fit(const Dims& dims, const ImageSize& size, const std::string& label) const;
  void write(const Image& pixels, const MutableView& destination) const;

  PreprocessSpec spec_;
  InputSpec input_;
  bool channels_last_ = false;
  bool flat_ = false;  // the input is a vector: pixels in the order of the layout
  int channels_ = 3;
  int height_ = 0, width_ = 0;  // that the model states; 0 = any
};

}  // namespace amct
