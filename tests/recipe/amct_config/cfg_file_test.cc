// The simplified configuration: what is read, and that every fault of a file is reported with its place.
#include "recipe/amct_config/cfg_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/errors.h"

namespace amct::config {
namespace {

std::vector<std::string> faults_of(const std::string& text) {
  return testing::faults_of([&] { parse_cfg(text, "x.cfg"); });
}

TEST(CfgFileTest, ReadsEveryField) {
  const SimpleConfig c = parse_cfg(R"(
    batch_num: 3  activation_offset: false  joint_quant: true  weight_offset: false  do_fusion: false
    fakequant_precision_mode: FORCE_FP16_QUANT
    skip_layers: "a"  skip_layers: 'b'  skip_layer_types: "Gemm"  skip_fusion_layers: "c"
    skip_approximation_layers: "softmax"
    nuq_config { mapping_file: "info.json" nuq_quantize { num_steps: 16 num_of_iteration: 5 } }
    common_config {
      arq_quantize { channel_wise: false quant_bits: 7 }
      ifmr_quantize { search_range_start: 0.5 search_range_end: 1.5 search_step: 0.25
                      max_percentile: 0.99 min_percentile: 1 asymmetric: true dst_type: INT16 }
      dmq_balancer { migration_strength: 0.75 }
    }
    override_layer_types { layer_type: "Conv" calibration_config { hfmg_quantize { num_of_bins: 8192 } } }
    override_layer_configs { layer_name: "d" calibration_config {
      ada_quantize { num_iteration: 7 reg_param: 0.5 beta_range_start: 9 beta_range_end: 3 warm_start: 0.25 } } }
    tensor_quantize { layer_name: "pool" input_index: 1 hfmg_quantize { asymmetric: false } }
  )",
                                   "x.cfg");
  EXPECT_EQ(c.model.batch_num, 3);
  EXPECT_FALSE(c.model.activation_offset);
  EXPECT_TRUE(c.model.joint_quant);
  EXPECT_FALSE(c.model.do_fusion);
  EXPECT_TRUE(c.model.force_fp16_quant);
  ASSERT_EQ(c.skip_layers.size(), 2u);
  EXPECT_EQ(c.skip_layers[1].name, "b");
  EXPECT_EQ(c.skip_layers[1].line, 4);
  EXPECT_EQ(c.skip_layer_types[0].name, "Gemm");
  EXPECT_EQ(c.skip_approximation_layers[0].name, "softmax");
  EXPECT_EQ(c.model.skip_fusion_layers[0].name, "c");
  EXPECT_EQ(c.nuq_mapping_file, "info.json");
  EXPECT_EQ(c.nuq, (WeightSettings::Nuq{16, 5}));
  EXPECT_EQ(c.common->weight.channel_wise, false);
  EXPECT_EQ(c.common->weight.bits, 7);
  const ActivationSettings& a = c.common->activation;
  EXPECT_EQ(a.search, (ClipSearch{ClipSearch::Method::kIfmr, 0.99, 1, 0.5, 1.5, 0.25}));
  EXPECT_EQ(a.asymmetric, true);
  EXPECT_EQ(a.bits, 16);
  EXPECT_EQ(c.common->migration_strength, 0.75);
  EXPECT_EQ(c.types[0].first.name, "Conv");
  EXPECT_EQ(c.types[0].second.activation.search.method, ClipSearch::Method::kHfmg);
  EXPECT_EQ(c.types[0].second.activation.search.bins, 8192);
  EXPECT_EQ(c.types[0].second.weight, WeightSettings{});  // not the common settings: an override is whole
  const WeightSettings& w = c.layers[0].second.weight;
  EXPECT_EQ(w.algorithm, WeightSettings::Algorithm::kAdaRound);
  EXPECT_EQ(w.adaround, (WeightSettings::AdaRound{7, 0.5, 9, 3, 0.25}));
  EXPECT_EQ(c.model.tensors[0].layer.name, "pool");
  EXPECT_EQ(c.model.tensors[0].input_index, 1);
  EXPECT_EQ(c.model.tensors[0].activation.asymmetric, false);
}

TEST(CfgFileTest, TheLastOneOfAChoiceAndOfARepeatedFieldHolds) {
  const SimpleConfig c = parse_cfg(R"(batch_num: 1 batch_num: 2
    common_config { hfmg_quantize { } ifmr_quantize { max_percentile: 0.9 } arq_quantize { } nuq_quantize { } })",
                                   "");
  EXPECT_EQ(c.model.batch_num, 2);
  EXPECT_EQ(c.common->activation.search.method, ClipSearch::Method::kIfmr);
  EXPECT_EQ(c.common->weight.algorithm, WeightSettings::Algorithm::kNuq);
  EXPECT_EQ(c.common->weight.nuq, (WeightSettings::Nuq{32, 1}));
}

TEST(CfgFileTest, AnEmptyFileIsAllDefaults) {
  const SimpleConfig c = parse_cfg("", "x.cfg");
  EXPECT_EQ(c.model.batch_num, std::nullopt);
  EXPECT_TRUE(c.model.activation_offset && c.model.do_fusion);
  EXPECT_FALSE(c.common || c.conv || c.fc || c.nuq_mapping_file);
}

TEST(CfgFileTest, ReportsAllFaultsWithTheirPlaces) {
  const auto lines = faults_of(
      "batch_num: 0\n"
      "batchnum: 1\n"
      "activation_offset: maybe\n"
      "skip_layers: conv1\n"
      "skip_layers: \"a\" skip_layers: \"a\"\n"
      "common_config { ifmr_quantize { max_percentile: 0.5 search_step: 2 } arq_quantize { quant_bits: 5 } }\n"
      "override_layer_types { layer_type: \"Conv\" }\n"
      "fakequant_precision_mode: FP16\n"
      "weight_offset: true\n");
  const std::vector<std::string> expected = {
      "AMCTConfig has no field 'batchnum', in x.cfg:2:1; did you mean 'batch_num'?",
      "batch_num is 0, must be >= 1, in x.cfg:1:1",
      "activation_offset must be true or false, in x.cfg:3:1",
      "skip_layers must be a string in quotes, in x.cfg:4:1",
      "'a' stands twice in skip_layers, in x.cfg:5:18",
      "max_percentile is 0.5, must be in (0.5, 1], in x.cfg:6:33",
      "search_step must not be longer than the search range, in x.cfg:6:53",
      "quant_bits is 5, must be one of 4, 6, 7, 8, in x.cfg:6:85",
      "OverrideLayerType lacks its field 'calibration_config', in x.cfg:7:1",
      "fakequant_precision_mode must be FORCE_FP16_QUANT, not 'FP16', in x.cfg:8:1",
      "weight_offset must be false: weights are symmetric, in x.cfg:9:1"};
  for (const std::string& line : expected) {
    EXPECT_NE(std::find(lines.begin(), lines.end(), line), lines.end()) << line;
  }
  EXPECT_EQ(lines.size(), expected.size()) << ::testing::PrintToString(lines);
}

TEST(CfgFileTest, RefusesContradictions) {
  for (const char* text :
       {"common_config { ada_quantize { beta_range_start: 2 beta_range_end: 2 } }",
        "common_config { ifmr_quantize { search_range_start: 1.3 } }", "common_config { } conv_calibration_config { }",
        "fc_calibration_config { arq_quantize { channel_wise: false } }",
        "override_layer_configs { layer_name: \"a\" calibration_config { } } "
        "override_layer_configs { layer_name: \"a\" calibration_config { } }",
        "tensor_quantize { layer_name: \"a\" }", "batch_num: 1.5", "batch_num: -1", "batch_num: nan",
        "common_config: 1", "common_config { dmq_balancer { migration_strength: 0.19 } }", "batch_num"}) {
    EXPECT_EQ(faults_of(text).size(), 1u) << text << ::testing::PrintToString(faults_of(text));
  }
}

}  // namespace
}  // namespace amct::config
