// preprocess_input and its inverse in C++17, as a program that vggprep can judge:
//
//   g++ -O2 -std=c++17 -o port examples/port.cpp
//   vggprep check "command:./port {mode} {data_format}" --inverse "command:./port {mode} {data_format} --inverse"
//
// Reads .npy arrays one after another from standard input and writes one for each (both little-endian, as the
// machine must be). With --fault the means are subtracted from bytes as bytes, which truncates and wraps around.
// Without standard input, for vggprep vectors and verify: ./port --vectors DIR OUTPUTS
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

struct Mode { int order[3]; double divide, mean[3], std[3]; };

static Mode mode_of(const std::string &name) {
  if (name == "caffe") return {{2, 1, 0}, 1, {103.939, 116.779, 123.68}, {1, 1, 1}};
  if (name == "tf") return {{0, 1, 2}, 127.5, {1, 1, 1}, {1, 1, 1}};
  if (name == "torch") return {{0, 1, 2}, 255, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  if (name == "identity") return {{0, 1, 2}, 1, {0, 0, 0}, {1, 1, 1}};
  throw std::runtime_error("no such mode: " + name);
}

struct Array { std::string type; std::vector<size_t> shape; std::string data; };
struct Task { std::string mode, format; bool inverse, fault; };

template <class From, class To> void run(const Task &task, const Array &x, Array &y) {
  const Mode mode = mode_of(task.mode);
  const size_t rank = x.shape.size(), axis = task.format == "channels_last" ? rank - 1 : rank - 3;
  const size_t stride = task.format == "channels_last" ? 1 : x.shape[axis + 1] * x.shape[axis + 2];
  const size_t count = x.data.size() / sizeof(From);
  y.data.resize(count * sizeof(To));
  const From *from = reinterpret_cast<const From *>(x.data.data());
  To *to = reinterpret_cast<To *>(&y.data[0]);
  for (size_t start = 0; start < count; start += 3 * stride)
    for (size_t i = start; i < start + stride; i++)
      for (int c = 0; c < 3; c++) {
        const size_t rgb = i + mode.order[c] * stride, own = i + c * stride;
        if (task.inverse) {
          const double value = (double(from[own]) * mode.std[c] + mode.mean[c]) * mode.divide;
          if (std::isnan(value)) throw std::runtime_error("NaN is not a pixel value");
          to[rgb] = To(std::nearbyint(std::min(255.0, std::max(0.0, value))));
        } else if (std::is_same_v<From, To> && sizeof(To) == 1) {
          to[own] = To(From(from[rgb] - From(mode.mean[c])));
        } else {
          to[own] = To((double(from[rgb]) / mode.divide - mode.mean[c]) / mode.std[c]);
        }
      }
}

template <class To> void dispatch(const Task &task, const Array &x, Array &y) {
  if (x.type == "|b1" || x.type == "|u1") return run<uint8_t, To>(task, x, y);
  if (x.type == "<i4") return run<int32_t, To>(task, x, y);
  if (x.type == "<f4") return run<float, To>(task, x, y);
  if (x.type == "<f8") return run<double, To>(task, x, y);
  throw std::runtime_error("no code for dtype " + x.type);
}

static Array convert(const Task &task, const Array &x) {
  const size_t rank = x.shape.size();
  if (task.format != "channels_last" && task.format != "channels_first") throw std::runtime_error("no such data format");
  if ((rank != 3 && rank != 4) || x.shape[task.format == "channels_last" ? rank - 1 : rank - 3] != 3)
    throw std::runtime_error("no RGB images");
  if (task.mode == "identity" && !task.inverse) return x;
  const bool bytes = task.inverse || (task.fault && task.mode == "caffe" && x.type == "|u1");
  Array y{bytes ? "|u1" : x.type == "<f8" ? "<f8" : "<f4", x.shape, ""};
  if (y.type == "|u1") dispatch<uint8_t>(task, x, y);
  else if (y.type == "<f8") dispatch<double>(task, x, y);
  else dispatch<float>(task, x, y);
  return y;
}

// The .npy format: magic, version, length of the header, header, data.
static bool read(std::istream &in, Array &x) {
  unsigned char start[10];
  if (!in.read(reinterpret_cast<char *>(start), 10)) return false;
  std::string header(start[8] + 256 * start[9], ' ');
  in.read(&header[0], header.size());
  std::smatch type, shape;
  if (!std::regex_search(header, type, std::regex("'descr': '([^']*)'")) || header.find("True") != std::string::npos ||
      !std::regex_search(header, shape, std::regex("'shape': \\(([^)]*)\\)")))
    throw std::runtime_error("cannot read " + header);
  x = {type[1], {}, ""};
  std::string list = shape[1];
  std::replace(list.begin(), list.end(), ',', ' ');
  std::istringstream numbers(list);
  size_t count = 1;
  for (size_t n; numbers >> n; count *= n) x.shape.push_back(n);
  x.data.resize(count * (x.type[2] - '0'));
  return count == 0 || in.read(&x.data[0], x.data.size());
}

static void write(std::ostream &out, const Array &y) {
  std::string text = "{'descr': '" + y.type + "', 'fortran_order': False, 'shape': (";
  for (size_t n : y.shape) text += std::to_string(n) + ", ";
  text += "), }";
  text.replace(text.rfind(", )"), 2, "");
  text.resize(117, ' ');
  out << "\x93NUMPY" << '\x01' << '\x00' << char(text.size() + 1) << '\x00' << text << '\n' << y.data << std::flush;
}

int main(int argc, char **argv) try {
  std::vector<std::string> words(argv + 1, argv + argc);
  auto flag = [&](const char *name) { return std::find(words.begin(), words.end(), name) != words.end(); };
  Array x;
  if (words.size() >= 3 && words[0] == "--vectors") {
    std::ifstream list(words[1] + "/list.txt"); // a line a vector: name, direction, mode, data format, dtype, shape
    for (std::string line, name, direction; std::getline(list, line);) {
      Task task{"", "", false, flag("--fault")};
      std::istringstream(line) >> name >> direction >> task.mode >> task.format;
      task.inverse = direction == "inverse";
      try {
        std::ifstream in(words[1] + "/inputs/" + name + ".npy", std::ios::binary);
        if (!read(in, x)) throw std::runtime_error("cannot read it");
        const Array y = convert(task, x);
        std::ofstream out(words[2] + "/" + name + ".npy", std::ios::binary);
        write(out, y);
      } catch (const std::exception &error) {
        std::cerr << "port: " << name << ": " << error.what() << '\n';
      }
    }
    return 0;
  }
  if (words.size() < 2) throw std::runtime_error("usage: port MODE DATA_FORMAT [--inverse] [--fault]");
  const Task task{words[0], words[1], flag("--inverse"), flag("--fault")};
  mode_of(task.mode);
  while (read(std::cin, x)) write(std::cout, convert(task, x));
} catch (const std::exception &error) {
  std::cerr << "port: " << error.what() << '\n';
  return 1;
}
