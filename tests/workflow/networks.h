// The real networks that these tests run, with real inputs: what conformance/reference_io of the assets holds for them.
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "support/assets.h"

namespace amct::testing {

struct Network {
  std::string file;       // in assets/onnx
  std::string reference;  // folder of conformance/reference_io; of another network where `same_size` is false
  bool same_size = true;

  std::string name() const { return file.substr(0, file.find('.')); }
};

inline void PrintTo(const Network& network, std::ostream* out) { *out << network.file; }

inline const std::vector<Network>& networks() {
  static const std::vector<Network> all = {
      {"mnist_cntk.onnx", "mnist_cntk"},
      {"mobilenet_v1_025.onnx", "mobilenet_v1_0.25_onnx"},
      {"mobilenet_v2.onnx", "mobilenet_v2_float_onnx"},
      {"nanodet_m.onnx", "nanodet_m"},
      {"resnet8_cifar10.onnx", "resnet8_onnx"},
      {"ultraface_rfb320_simplified.onnx", "ultraface_rfb320_simplified"},
      {"ultraface_rfb640.onnx", "ultraface_rfb320_simplified", false},
      {"vnn_cifar10_resnet_4b.onnx", "vnn_cifar10_resnet_4b"},
      {"vnn_eran_mnist_relu_9_200.onnx", "vnn_eran_mnist_relu_9_200"},
      {"vnn_marabou_cifar10_large.onnx", "vnn_marabou_cifar10_large"},
      {"vnn_mnistfc_256x4.onnx", "vnn_mnistfc_256x4"},
      {"vnn_oval21_cifar_base_kw.onnx", "vnn_oval21_cifar_base_kw"},
  };
  return all;
}

inline const Network& network(const std::string& name) {
  for (const Network& item : networks()) {
    if (item.name() == name) return item;
  }
  internal_error("no such network: " + name);
}

inline std::filesystem::path path_of(const Network& network) { return assets() / "onnx" / network.file; }

inline std::string test_name(const ::testing::TestParamInfo<Network>& info) { return info.param.name(); }

inline std::vector<float> read_floats(const std::filesystem::path& path) {
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

inline std::filesystem::path reference_folder(const Network& network) {
  return assets() / "conformance/reference_io" / network.reference;
}

inline nlohmann::json reference_meta(const Network& network) {
  std::ifstream file(reference_folder(network) / "meta.json");
  return nlohmann::json::parse(file);
}

// Extents of input 0 with a batch of one.
inline Dims input_dims(const Graph& graph) {
  Dims dims;
  for (const Dim& dim : graph.value(graph.inputs()[0]).type.shape.dims()) {
    dims.push_back(dim.is_fixed() ? dim.extent() : 1);
  }
  return dims;
}

// Every pixel four times: {1, c, h, w} -> {1, c, 2 h, 2 w}.
inline Tensor doubled(const std::vector<float>& values, const Dims& dims) {
  Tensor result = Tensor::allocate(DType::kFloat32, dims);
  const int64_t h = dims[2], w = dims[3];
  for (int64_t i = 0; float& value : result.mutable_values<float>()) {
    value = values[static_cast<size_t>(i / (h * w) * (h / 2) * (w / 2) + i % (h * w) / w / 2 * (w / 2) + i % w / 2)];
    ++i;
  }
  return result;
}

// One tensor per sample, with the extents of the network's input.
inline std::vector<Tensor> reference_inputs(const Network& network, const Graph& graph) {
  const std::vector<float> all = read_floats(reference_folder(network) / "input.f32");
  const size_t samples = reference_meta(network).at("input_shape")[0];
  const size_t size = all.size() / samples;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < samples; ++i) {
    const std::vector<float> one(all.begin() + static_cast<ptrdiff_t>(i * size),
                                 all.begin() + static_cast<ptrdiff_t>((i + 1) * size));
    const Dims dims = input_dims(graph);
    inputs.push_back(network.same_size ? Tensor::of<float>(dims, one) : doubled(one, dims));
  }
  return inputs;
}

// Samples in memory, for networks with one input of floats.
class MemorySource : public DataSource {
 public:
  explicit MemorySource(std::vector<Tensor> samples) : samples_(std::move(samples)) {}
  size_t size() const override { return samples_.size(); }
  std::vector<Dims> sample_dims() const override {
    return {{samples_[0].dims().begin() + 1, samples_[0].dims().end()}};
  }
  void read(size_t index, const std::vector<MutableView>& destination) const override {
    std::memcpy(destination[0].data, samples_[index].bytes().data(), samples_[index].bytes().size());
  }
  std::string sample_name(size_t index) const override { return std::to_string(index); }

 private:
  std::vector<Tensor> samples_;
};

}  // namespace amct::testing
