// The configuration of KV-cache calibration: what is read, and that every fault of a file is reported with its place.
#include "recipe/amct_config/kv_cache_cfg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "support/errors.h"

namespace amct::config {
namespace {

std::vector<std::string> faults_of(const std::string& text) {
  return testing::faults_of([&] { parse_kv_cache_cfg(text, "x.cfg"); });
}

TEST(KvCacheCfg, ReadsEveryField) {
  const KvCacheConfig c = parse_kv_cache_cfg(R"(
    batch_num: 4  activation_offset: false
    kv_cache_quant_config {
      quant_layers: "k"  quant_layers: 'v'
      calibration_config {
        ifmr_quantize { search_range_start: 0.5 search_range_end: 1.5 search_step: 0.25 max_percentile: 0.99
                        min_percentile: 1 asymmetric: true dst_type: INT8 quant_granularity: per_channel }
      }
    }
    override_layers_configs {
      layer_name: "v" kv_data_quant_config { hfmg_quantize { num_of_bins: 1024 quant_granularity: 0 } }
    }
    override_layers_configs { layer_name: "w" kv_data_quant_config { } }
  )",
                                             "x.cfg");
  EXPECT_EQ(c.batch_num, 4);
  EXPECT_FALSE(c.activation_offset);
  ASSERT_EQ(c.layers.size(), 2u);
  EXPECT_EQ(c.layers[1].name, "v");
  EXPECT_EQ(c.layers[1].line, 4);
  EXPECT_EQ(c.layers[1].column, 26);
  EXPECT_TRUE(c.common.per_channel);
  EXPECT_EQ(c.common.activation.search, (ClipSearch{ClipSearch::Method::kIfmr, 0.99, 1, 0.5, 1.5, 0.25}));
  EXPECT_EQ(c.common.activation.asymmetric, true);
  ASSERT_EQ(c.overrides.size(), 2u);
  EXPECT_EQ(c.overrides[0].first.name, "v");
  EXPECT_EQ(c.overrides[0].second.activation.search.method, ClipSearch::Method::kHfmg);
  EXPECT_EQ(c.overrides[0].second.activation.search.bins, 1024);
  EXPECT_FALSE(c.overrides[0].second.per_channel);
  EXPECT_EQ(c.overrides[1].second.activation.search, ClipSearch{});
}

TEST(KvCacheCfg, DefaultsAreOneAsymmetricFactorByIfmr) {
  const KvCacheConfig c = parse_kv_cache_cfg(R"(kv_cache_quant_config { quant_layers: "k" })", "x.cfg");
  EXPECT_FALSE(c.batch_num);
  EXPECT_TRUE(c.activation_offset);
  EXPECT_EQ(c.common.activation, ActivationSettings{});
  EXPECT_FALSE(c.common.per_channel);
}

TEST(KvCacheCfg, GranularityHasNamesAndNumbers) {
  for (const auto& [written, per_channel] : {std::pair{"per_tensor", false},
                                             {"per_channel", true},
                                             {"PER_TENSOR", false},
                                             {"PER_CHANNEL", true},
                                             {"0", false},
                                             {"1", true}}) {
    const std::string text =
        std::string("kv_cache_quant_config { quant_layers: 'k' calibration_config { hfmg_quantize { ") +
        "quant_granularity: " + written + " } } }";
    EXPECT_EQ(parse_kv_cache_cfg(text, "x.cfg").common.per_channel, per_channel) << written;
  }
}

TEST(KvCacheCfg, ReportsAllFaultsAtOnce) {
  const std::vector<std::string> faults = faults_of(R"(batch_num: 0
kv_cache_quant_config {
  quant_layers: "k" quant_layers: "k"
  calibration_config { ifmr_quantize { search_step: 2 max_percentile: 0.2 dst_type: INT16 quant_granularity: per_row } }
  quant_layer: "v"
}
override_layers_configs { layer_name: "k" kv_data_quant_config { hfmg_quantize { num_of_bins: 100 } } }
override_layers_configs { layer_name: "k" kv_data_quant_config { } }
override_layers_configs { layer_name: "q" }
skip_layers: "z"
)");
  const std::vector<std::string> expected = {
      "batch_num is 0, must be > 0, in x.cfg:1:1",
      "no field 'skip_layers', in x.cfg:10:1",
      "no field 'quant_layer', in x.cfg:5:3; did you mean 'quant_layers'?",
      "'k' stands twice in quant_layers, in x.cfg:3:21",
      "max_percentile is 0.2",
      "quant_granularity must be per_tensor or per_channel",
      "search_step must not be longer than the search range",
      "dst_type must be INT8: a KV cache has 8 bits",
      "num_of_bins is 100",
      "'k' stands twice in override_layers_configs",
      "KVOverrideLayer lacks its field 'kv_data_quant_config'",
  };
  EXPECT_EQ(faults.size(), expected.size());
  for (const std::string& part : expected) {
    EXPECT_TRUE(std::ranges::any_of(faults, [&](const std::string& line) { return line.find(part) != line.npos; }))
        << part;
  }
  if (::testing::Test::HasFailure()) {
    for (const std::string& line : faults) std::printf("  %s\n", line.c_str());
  }
}

TEST(KvCacheCfg, AFileWithoutLayersIsRefused) {
  for (const char* text : {"", "batch_num: 2", "kv_cache_quant_config { calibration_config { } }"}) {
    const auto faults = faults_of(text);
    ASSERT_EQ(faults.size(), 1u) << text;
    EXPECT_NE(faults[0].find("names no layer"), std::string::npos) << faults[0];
  }
}

}  // namespace
}  // namespace amct::config
