#include "frontends/onnx/sniff.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace amct::onnx_file {
namespace {

struct Signature {
  size_t offset;
  std::string_view bytes;
  std::string_view what;
};

constexpr std::array kSignatures = {
    Signature{0, "PK\x03\x04", "a PyTorch archive or another zip file"},
    Signature{0, "\x89HDF", "an HDF5 file (Keras)"},
    Signature{4, "TFL3", "a TensorFlow Lite model"},
    Signature{4, "ORTM", "a model in ONNX Runtime's own format"},
    Signature{0, "\x93NUMPY", "a NumPy array"},
    Signature{0, "\x1f\x8b", "a gzip archive"},
    Signature{0, "\x80\x02", "a Python pickle (PyTorch)"},
    Signature{0, "\x80\x03", "a Python pickle"},
    Signature{0, "\x80\x04", "a Python pickle"},
    Signature{0, "\x89PNG", "a PNG image"},
    Signature{0, "\xff\xd8\xff", "a JPEG image"},
    Signature{0,
              "\x7f"
              "ELF",
              "a program"},
    Signature{0, "GGUF", "a GGUF model"},
    Signature{0, "version https://git-lfs", "a pointer of git-lfs: fetch the file itself"},
};

constexpr std::byte kGraphDefNode{0x0a};  // field 1 as a message: a TensorFlow GraphDef, a Caffe NetParameter's name

bool is_text(Bytes file) {
  const Bytes head = file.first(std::min<size_t>(file.size(), 512));
  return std::all_of(head.begin(), head.end(), [](std::byte b) {
    const auto c = static_cast<unsigned char>(b);
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

}  // namespace

std::string looks_like(Bytes file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  for (const Signature& signature : kSignatures) {
    if (text.size() >= signature.offset && text.substr(signature.offset).starts_with(signature.bytes)) {
      return std::string(signature.what);
    }
  }
  if (is_text(file)) return "a text file";
  if (!file.empty() && file.front() == kGraphDefNode) return "a TensorFlow graph or a Caffe model";
  return {};
}

}  // namespace amct::onnx_file
