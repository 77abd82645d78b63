// Every sample of every row as an ONNX file from which one thing is missing: an input of a node (left out at the end,
// or given no name), an attribute, an output. Reading and preparing it succeeds, or says what is wrong with the file.
#include <fmt/format.h>

#include "export/onnx/write_onnx.h"
#include "frontends/onnx/model_builder.h"
#include "ir/verify.h"
#include "support/sample_node.h"
#include "workflow/model.h"

namespace amct::testing {
namespace {

class DamagedNodes : public ::testing::Test {
 protected:
  // The sample as a message; false where no form of ONNX holds it.
  bool write(const OpRow& row, const Sample& sample, int64_t opset, wire::ModelProto& model) {
    SampleNode node = make_sample_node(row, sample);
    node.graph.info.opsets = {{"", opset}};
    try {
      update_types(node.graph);
      write_onnx(node.graph, folder_ / "sample.onnx");
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      return false;
    }
    return model.ParseFromString(read_bytes(folder_ / "sample.onnx"));
  }

  void load(const wire::ModelProto& model, const std::string& what) {
    write_bytes(folder_ / "damaged.onnx", model.SerializeAsString());
    try {
      Graph graph = load_model(folder_ / "damaged.onnx");
      prepare(graph);
      const auto faults = verify(graph);
      EXPECT_TRUE(faults.empty()) << what << ": " << faults.front();
      ++loaded_;
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << what << ": " << error.what();
      ++refused_;
    } catch (const std::exception& error) {
      ADD_FAILURE() << what << ": " << error.what();
    }
  }

  void damage(const wire::ModelProto& sound) {
    for (int index = 0; index < sound.graph().node_size(); ++index) {
      const auto changed = [&](const std::string& what, auto&& change) {
        wire::ModelProto model = sound;
        change(*model.mutable_graph()->mutable_node(index));
        load(model, fmt::format("node {} ({}), {}", index, sound.graph().node(index).op_type(), what));
      };
      const wire::NodeProto& node = sound.graph().node(index);
      for (int i = 0; i < node.input_size(); ++i) {
        changed(fmt::format("without name of input {}", i), [&](wire::NodeProto& n) { n.set_input(i, ""); });
        changed(fmt::format("without inputs from {} on", i),
                [&](wire::NodeProto& n) { n.mutable_input()->DeleteSubrange(i, n.input_size() - i); });
      }
      changed("with one more input", [&](wire::NodeProto& n) { n.add_input(n.input_size() > 0 ? n.input(0) : ""); });
      for (int i = 0; i < node.attribute_size(); ++i) {
        changed("without attribute " + node.attribute(i).name(),
                [&](wire::NodeProto& n) { n.mutable_attribute()->DeleteSubrange(i, 1); });
        changed("without a value of " + node.attribute(i).name(), [&](wire::NodeProto& n) {
          const std::string name = n.attribute(i).name();
          const auto type = n.attribute(i).type();
          n.mutable_attribute(i)->Clear();
          n.mutable_attribute(i)->set_name(name);
          n.mutable_attribute(i)->set_type(type);
        });
      }
      changed("without outputs", [&](wire::NodeProto& n) { n.clear_output(); });
      changed("without type, name and outputs", [&](wire::NodeProto& n) {
        n.clear_op_type();
        n.clear_name();
        n.clear_output();
      });
      changed("with one more output", [&](wire::NodeProto& n) { n.add_output("one_more"); });
    }
  }

  ScratchFolder folder_;
  int loaded_ = 0, refused_ = 0;
};

TEST_F(DamagedNodes, AreReadOrRefused) {
  for (const OpRow& row : op_table().rows()) {
    for (const Sample& sample : row.samples()) {
      SCOPED_TRACE(row.name + "." + sample.name);
      for (const int64_t opset : {7, 11, 21}) {
        wire::ModelProto model;
        if (write(row, sample, opset, model)) damage(model);
      }
      if (HasFailure()) break;  // of this row
    }
  }
  RecordProperty("loaded", loaded_);
  RecordProperty("refused", refused_);
  EXPECT_GT(loaded_, 1000);
  EXPECT_GT(refused_, 1000);
}

}  // namespace
}  // namespace amct::testing
