// .npy and .npz against files made by NumPy itself (bytes below), against the format's description, and hostile ones.
#include "data/npy.h"

#include <gtest/gtest.h>

#include <limits>

#include "data/array_files.h"
#include "data/temporary_folder.h"
#include "data/zip.h"
#include "support/npz.h"

namespace amct {
namespace {

using testing::read_npz;

template <typename T>
std::string raw(std::initializer_list<T> values) {
  std::string bytes;
  for (const T& value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
  return bytes;
}

class NpyTest : public TemporaryFolder {};

TEST_F(NpyTest, EveryTypeRoundTrips) {
  for (const DType dtype : {DType::kBool, DType::kInt8, DType::kInt16, DType::kInt32, DType::kInt64, DType::kUInt8,
                            DType::kUInt16, DType::kUInt32, DType::kUInt64, DType::kFloat16, DType::kFloat32,
                            DType::kFloat64, DType::kComplex64, DType::kComplex128}) {
    for (const Dims& dims : {Dims{}, Dims{5}, Dims{0, 3}, Dims{2, 1, 3}}) {
      Tensor tensor = Tensor::allocate(dtype, dims);
      for (size_t i = 0; i < tensor.bytes().size(); ++i) {
        tensor.mutable_data()[i] = static_cast<std::byte>(dtype == DType::kBool ? i % 2 : i * 37 + 5);
      }
      write_npy(path("a.npy"), tensor.view());
      EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(tensor)) << name_of(dtype) << to_string(dims);
      const StoredArray array = open_npy(path("a.npy"));
      EXPECT_EQ(array.offset % 64, 0u);
    }
  }
}

TEST_F(NpyTest, HeaderIsWhatNumpyWrites) {
  write_npy(path("a.npy"), Tensor::of<float>({3, 1}, {1, 2, 3}).view());
  EXPECT_NE(contents("a.npy").find("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1), }"), std::string::npos);
  write_npy(path("a.npy"), Tensor::of<uint8_t>({2}, {1, 2}).view());
  EXPECT_NE(contents("a.npy").find("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"), std::string::npos);
  write_npy(path("a.npy"), Tensor::scalar<int64_t>(-7).view());
  EXPECT_NE(contents("a.npy").find("{'descr': '<i8', 'fortran_order': False, 'shape': (), }"), std::string::npos);
}

TEST_F(NpyTest, TypesThatNumpyLacksAreWidened) {
  write_npy(path("a.npy"), Tensor::of<BFloat16>({2}, {BFloat16(1.5f), BFloat16(-3.0f)}).view());
  EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(Tensor::of<float>({2}, {1.5f, -3.0f})));
  Tensor nibbles = Tensor::allocate(DType::kInt4, {2});
  nibbles.mutable_values<int8_t>()[0] = -8;
  nibbles.mutable_values<int8_t>()[1] = 7;
  write_npy(path("a.npy"), nibbles.view());
  EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(Tensor::of<int8_t>({2}, {-8, 7})));
  EXPECT_THROW(write_npy(path("b.npy"), Tensor::allocate(DType::kFloat8E4M3FN, {1}).view()), Error);
  EXPECT_FALSE(std::filesystem::exists(path("b.npy")));
}

TEST_F(NpyTest, VersionsOrdersAndByteOrder) {
  const Tensor expected = Tensor::of<int16_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  const std::string plain = raw<int16_t>({1, 2, 3, 4, 5, 6});
  for (const int version : {1, 2, 3}) {
    write("a.npy", npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }", plain, version));
    EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(expected)) << version;
  }
  write("a.npy", npy("{\"shape\":(2L,3L),\"fortran_order\":True,\"descr\":\"=i2\"}", raw<int16_t>({1, 4, 2, 5, 3, 6})));
  EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(expected));
  write("a.npy",
        npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3)}", std::string("\0\1\0\2\0\3\0\4\0\5\0\6", 12)));
  EXPECT_TRUE(read_npy(path("a.npy")).same_bytes(expected));
  write("a.npy",
        npy("{'descr': '>c8', 'fortran_order': False, 'shape': ()}", std::string("\x3f\x80\0\0\x40\0\0\0", 8)));
  EXPECT_EQ(raw<float>({1, 2}), std::string(reinterpret_cast<const char*>(read_npy(path("a.npy")).bytes().data()), 8));
}

TEST_F(NpyTest, RowsOfColumnMajorArrays) {
  // Element (i, j, k) of a 3 x 2 x 4 array is 100 i + 10 j + k.
  std::string data;
  for (int32_t k = 0; k < 4; ++k) {
    for (int32_t j = 0; j < 2; ++j) {
      for (int32_t i = 0; i < 3; ++i) data += raw<int32_t>({100 * i + 10 * j + k});
    }
  }
  write("a.npy", npy("{'descr': '<i4', 'fortran_order': True, 'shape': (3, 2, 4), }", data));
  const StoredArray array = open_npy(path("a.npy"));
  Tensor row = Tensor::allocate(DType::kInt32, {2, 4});
  read_row(array, 2, {row.mutable_data(), row.bytes().size()});
  EXPECT_TRUE(row.same_bytes(Tensor::of<int32_t>({2, 4}, {200, 201, 202, 203, 210, 211, 212, 213})));
}

TEST_F(NpyTest, FaultyHeadersAreRefusedByName) {
  const std::string data = raw<float>({1, 2});
  for (const std::string& file :
       {std::string(), std::string("nonsense, longer than the fixed part"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", data),
        npy("{'descr': '<f4', 'shape': (2,), }", data),
        npy("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,), }", data),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", data),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", data),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", data),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", data),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", data),
        npy("{'descr': '<U4', 'fortran_order': False, 'shape': (2,), }", data),
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", data),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", data, 9)}) {
    write("bad.npy", file);
    try {
      (void)read_npy(path("bad.npy"));
      FAIL() << file;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("bad.npy"), std::string::npos) << error.what();
    }
  }
}

TEST_F(NpyTest, CutAnywhere) {
  write_npy(path("a.npy"), Tensor::of<double>({2, 2}, {1, 2, 3, 4}).view());
  const std::string whole = contents("a.npy");
  for (size_t length = 0; length < whole.size(); ++length) {
    write("cut.npy", whole.substr(0, length));
    EXPECT_THROW((void)read_npy(path("cut.npy")), Error) << length;
  }
}

TEST_F(NpyTest, ArchivesStoredAndDeflated) {
  const std::string member = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", raw<float>({1, 2}));
  for (const bool deflate : {false, true}) {
    const std::string whole = zip("x.npy", member, deflate);
    write("a.npz", whole);
    const auto tensors = read_npz(path("a.npz"));
    ASSERT_EQ(tensors.size(), 1u);
    EXPECT_TRUE(tensors.at("x").same_bytes(Tensor::of<float>({2}, {1, 2})));
    for (size_t length = 0; length < whole.size(); ++length) {
      write("cut.npz", whole.substr(0, length));
      EXPECT_THROW((void)read_npz(path("cut.npz")), Error) << length;
    }
    for (size_t at = 0; at < whole.size(); ++at) {  // any answer but a crash
      std::string mutant = whole;
      mutant[at] = static_cast<char>(mutant[at] ^ 0x85);
      write("mutant.npz", mutant);
      try {
        (void)read_npz(path("mutant.npz"));
      } catch (const Error&) {
      }
    }
  }
}

TEST_F(NpyTest, ZipBombs) {
  const std::string member =
      npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000,), }", std::string(1000000, '\0'));
  write("a.npz", zip("x.npy", member, true));
  EXPECT_EQ(read_npz(path("a.npz")).at("x").size(), 1000000);
  write("a.npz", zip("x.npy", member, true, 0xfffffff0));  // claims more than its bytes can unpack to
  EXPECT_THROW((void)read_npz(path("a.npz")), Error);
  write("a.npz", zip("x.npy", member, true, 2000));  // unpacks to more than it claims
  EXPECT_THROW((void)read_npz(path("a.npz")), Error);
}

// One member that the directory lists a thousand times.
TEST_F(NpyTest, MembersThatOverlap) {
  const std::string member =
      npy("{'descr': '|u1', 'fortran_order': False, 'shape': (100000,), }", std::string(100000, '\0'));
  const std::string once = zip("x.npy", member, true);
  constexpr size_t kEnd = 22, kEntry = 46 + 5;
  const std::string entry = once.substr(once.size() - kEnd - kEntry, kEntry);
  std::string many = once.substr(0, once.size() - kEnd);
  for (int i = 1; i < 1000; ++i) many += entry;
  std::string end = once.substr(once.size() - kEnd);
  const auto bytes = static_cast<uint32_t>(1000 * kEntry);
  for (int i = 0; i < 4; ++i) end[12 + static_cast<size_t>(i)] = static_cast<char>(bytes >> (8 * i));
  write("a.npz", many + end);
  try {
    (void)read_npz(path("a.npz"));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("overlap"), std::string::npos) << error.what();
  }
}

TEST_F(NpyTest, ConversionsThatLoseNothingByThemselves) {
  EXPECT_TRUE(may_convert(DType::kUInt8, DType::kFloat32));
  EXPECT_TRUE(may_convert(DType::kFloat64, DType::kFloat32));
  EXPECT_TRUE(may_convert(DType::kInt64, DType::kInt32));
  EXPECT_FALSE(may_convert(DType::kFloat32, DType::kInt32));
  EXPECT_FALSE(may_convert(DType::kInt32, DType::kBool));
  EXPECT_FALSE(may_convert(DType::kComplex64, DType::kFloat32));
  EXPECT_FALSE(may_convert(DType::kString, DType::kString));

  Tensor target = Tensor::allocate(DType::kInt8, {3});
  convert_elements(Tensor::of<int64_t>({3}, {-128, 0, 127}).view(), target.mutable_view(), "f");
  EXPECT_TRUE(target.same_bytes(Tensor::of<int8_t>({3}, {-128, 0, 127})));
  EXPECT_THROW(convert_elements(Tensor::of<int64_t>({3}, {0, 0, 128}).view(), target.mutable_view(), "f"), Error);
  Tensor large = Tensor::allocate(DType::kUInt64, {1});
  EXPECT_THROW(convert_elements(Tensor::of<int8_t>({1}, {-1}).view(), large.mutable_view(), "f"), Error);
  Tensor small = Tensor::allocate(DType::kInt64, {1});
  EXPECT_THROW(convert_elements(Tensor::of<uint64_t>({1}, {std::numeric_limits<uint64_t>::max()}).view(),
                                small.mutable_view(), "f"),
               Error);
}

}  // namespace
}  // namespace amct
