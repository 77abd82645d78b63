// A file that ends early is refused wherever it ends. (Changed files: tests/fuzz.)
#include "frontends/onnx/load_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "support/assets.h"

namespace amct::testing {
namespace {

// A model of ours with operators of many families.
std::string own_model() {
  ModelBuilder builder;
  builder.input("x", {2, 6, 5});
  auto& target = builder.constant("target", {3}, kOnnxInt64);
  for (const int64_t dim : {2, 3, 10}) target.add_int64_data(dim);
  auto& weight = builder.constant("w", {1, 3, 1});
  for (const float value : {0.5f, -1.0f, 2.0f}) weight.add_float_data(value);
  std::string raw(4 * 3 * 10, 'w');
  builder.constant("b", {3, 10}).set_raw_data(raw);
  builder.node("Relu", "relu", {"x"}, {"a"});
  builder.node("Reshape", "reshape", {"a", "target"}, {"r"});
  builder.node("Mul", "mul", {"r", "w"}, {"m"});
  builder.node("Add", "add", {"m", "b"}, {"s"});
  auto& perm = *builder.node("Transpose", "transpose", {"s"}, {"t"}).add_attribute();
  perm.set_name("perm");
  perm.set_type(7);
  for (const int64_t axis : {0, 2, 1}) perm.add_ints(axis);
  auto& axis = *builder.node("Concat", "concat", {"t", "t"}, {"c"}).add_attribute();
  axis.set_name("axis");
  axis.set_type(2);
  axis.set_i(1);
  builder.node("Shape", "shape", {"c"}, {"dims"});
  builder.node("Frobnicate", "custom", {"c"}, {"f"}).set_domain("com.example");
  auto& value = *builder.node("Constant", "", {}, {"k"}).add_attribute();
  value.set_name("value");
  value.set_type(4);
  value.mutable_t()->set_data_type(kOnnxFloat);
  value.mutable_t()->set_raw_data(std::string(4, '\0'));
  builder.node("Add", "last", {"c", "k"}, {"y"});
  for (const char* output : {"y", "dims", "f"}) builder.output(output);
  return builder.bytes();
}

void truncate_everywhere(const std::string& bytes, size_t step) {
  const ScratchFolder folder;
  for (size_t length = 0; length < bytes.size(); length += step) {
    write_bytes(folder / "model.onnx", bytes.substr(0, length));
    try {
      load_onnx(folder / "model.onnx");
      FAIL() << "accepted after " << length << " of " << bytes.size() << " bytes";
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInput) << length << ": " << error.what();
    }
  }
}

TEST(Truncated, OwnModelAtEveryByte) { truncate_everywhere(own_model(), 1); }

TEST(Truncated, RealModelsAtEvery997thByte) {
  AMCT_NEEDS_ASSETS();
  for (const char* name : {"mnist_cntk.onnx", "resnet8_cifar10.onnx", "vnn_oval21_cifar_base_kw.onnx"}) {
    SCOPED_TRACE(name);
    truncate_everywhere(read_bytes(assets() / "onnx" / name), 997);
  }
}

}  // namespace
}  // namespace amct::testing
