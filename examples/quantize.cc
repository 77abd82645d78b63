// Quantizes a model with the installed library: find_package(amct), link amct::amct.
//   quantize MODEL DATA PREPROCESS OUT_PREFIX
#include <amct/quantize.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::cerr << "usage: quantize MODEL DATA PREPROCESS OUT_PREFIX\n";
    return 1;
  }
  amct::QuantizeOptions options;
  options.data = argv[2];
  options.preprocess = argv[3];
  options.out_prefix = argv[4];
  std::cout << amct::quantize(argv[1], options).summary;
} catch (const amct::Error& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
