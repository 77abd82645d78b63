// Integer constants and the quantize operator against AMCT's own numbers.
#include "passes/quantize/integer_constants.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ops/op_row.h"
#include "support/assets.h"
#include "support/npz.h"

namespace amct {
namespace {

TEST(IntegerBias, EqualsAmcts) {
  AMCT_NEEDS_ASSETS();
  for (const char* file : {"deploy_a.npz", "deploy_b.npz"}) {
    const auto arrays = testing::read_npz(testing::assets() / "golden" / file);
    int cases = 0;
    for (const auto& [name, bias] : arrays) {
      if (!name.starts_with("bias.") || !name.ends_with(".bias")) continue;
      const std::string base = name.substr(0, name.size() - 4);
      const auto scale_w = arrays.at(base + "scale_w").values<float>();
      const auto scales = dequant_scales(arrays.at(base + "scale_d").values<float>()[0], scale_w);
      SCOPED_TRACE(base);
      ++cases;
      const auto expected = arrays.find(base + "bias_int");
      if (expected == arrays.end()) {  // AMCT refused it
        EXPECT_THROW(integer_bias(bias, scales, bias.size(), "layer"), Error);
        continue;
      }
      EXPECT_EQ(integer_bias(bias, scales, bias.size(), "layer").to_int64s(), expected->second.to_int64s());
    }
    EXPECT_GT(cases, 5);
  }
}

TEST(DequantParameters, PackLikeAmcts) {
  AMCT_NEEDS_ASSETS();
  const auto arrays = testing::read_npz(testing::assets() / "golden/deploy_a.npz");
  const Tensor packed = dequant_parameters(arrays.at("deq_pack.deq_scale").values<float>());
  const auto expected = arrays.at("deq_pack.packed").values<uint64_t>();
  const auto offsets = arrays.at("deq_pack.offset_w").values<int8_t>();
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(packed.values<uint64_t>()[i] | static_cast<uint64_t>(static_cast<uint8_t>(offsets[i])) << 32,
              expected[i]);
  }
}

TEST(AscendQuant, EqualsAmcts) {
  AMCT_NEEDS_ASSETS();
  const auto arrays = testing::read_npz(testing::assets() / "golden/deploy_a.npz");
  int cases = 0;
  for (const auto& [name, x] : arrays) {
    if (!name.starts_with("fakequant.") || !name.ends_with(".x")) continue;
    const std::string base = name.substr(0, name.size() - 1);
    const size_t bits_at = base.find(".b") + 2, offset_at = base.find(".o") + 2;
    const double offset = std::stod(base.substr(offset_at));
    const float scale = arrays.at(base + "scale").values<float>()[0];
    Graph graph;
    const ValueId input = graph.add_input("x", x.type());
    const NodeId quant =
        add_op(graph, "quant", "ascend_quant", {input},
               {{"scale", static_cast<double>(1.0f / scale)},
                {"offset", offset},
                {"dst_type", fmt::format("INT{}", base.substr(bits_at, base.find('.', bits_at) - bits_at))}});
    SCOPED_TRACE(base);
    EXPECT_EQ(run_node(graph.node(quant), {x})[0].to_int64s(), arrays.at(base + "y_int").to_int64s());
    ++cases;
  }
  EXPECT_GE(cases, 9);
}

TEST(IntegerWeights, RoundToEvenAndSaturate) {
  const Tensor weights = Tensor::of<float>({2, 3}, {0.5f, 1.5f, -2.5f, 100, -200, 3});
  const std::vector<float> scales = {1, 1.5f};
  EXPECT_EQ(integer_weights(weights, {.bits = 8, .scales = scales}, 0).to_int64s(),
            (std::vector<int64_t>{0, 2, -2, 67, -128, 2}));
  EXPECT_EQ(integer_weights(weights, {.bits = 4, .scales = scales}, 0).to_int64s(),
            (std::vector<int64_t>{0, 2, -2, 7, -8, 2}));
  EXPECT_EQ(fake_quantized(weights, {.bits = 4, .scales = scales}, 0).to_doubles(),
            (std::vector<double>{0, 2, -2, 10.5, -12, 3}));
}

}  // namespace
}  // namespace amct
