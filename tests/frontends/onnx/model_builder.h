// Small ONNX files for tests, built message by message so that they may also be wrong.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>

#include "base/error.h"
#include "frontends/onnx/load_onnx.h"
#include "onnx_wire.pb.h"

namespace amct::testing {

namespace wire = amct::wire::onnx;

constexpr int kOnnxFloat = 1, kOnnxInt64 = 7, kOnnxString = 8;

// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    // In memory where there is such a place: thousands of files come and go.
    const auto memory = std::filesystem::path("/dev/shm");
    const auto parent = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    std::string name = (parent / "amct_test_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct ModelBuilder {
  wire::ModelProto model;

  explicit ModelBuilder(int64_t opset = 13) {
    model.set_ir_version(8);
    model.add_opset_import()->set_version(opset);
    model.mutable_graph()->set_name("test");
  }
  wire::GraphProto& graph() { return *model.mutable_graph(); }

  static void set_type(wire::ValueInfoProto& info, const std::string& name, const std::vector<int64_t>& dims,
                       int type = kOnnxFloat) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape();
    for (const int64_t dim : dims) tensor.mutable_shape()->add_dim()->set_dim_value(dim);
  }
  void input(const std::string& name, const std::vector<int64_t>& dims, int type = kOnnxFloat) {
    set_type(*graph().add_input(), name, dims, type);
  }
  void output(const std::string& name) { graph().add_output()->set_name(name); }
  wire::NodeProto& node(const std::string& type, const std::string& name, std::initializer_list<std::string> inputs,
                        std::initializer_list<std::string> outputs) {
    auto& node = *graph().add_node();
    node.set_op_type(type);
    if (!name.empty()) node.set_name(name);
    for (const auto& input : inputs) node.add_input(input);
    for (const auto& output : outputs) node.add_output(output);
    return node;
  }
  wire::TensorProto& constant(const std::string& name, const std::vector<int64_t>& dims, int type = kOnnxFloat) {
    auto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const int64_t dim : dims) tensor.add_dims(dim);
    return tensor;
  }

  std::string bytes() const { return model.SerializeAsString(); }
  Graph load() const {
    const ScratchFolder folder;
    write_bytes(folder / "model.onnx", bytes());
    return load_onnx(folder / "model.onnx");
  }
  // The message of the one error that loading raises.
  std::string error(ErrorCode code = ErrorCode::kInput) const {
    try {
      load();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.message();
    }
    return "no error";
  }
};

// y = Relu(x): to be extended or broken.
inline ModelBuilder relu_model() {
  ModelBuilder builder;
  builder.input("x", {2, 3});
  builder.node("Relu", "relu", {"x"}, {"y"});
  builder.output("y");
  return builder;
}

}  // namespace amct::testing
