#include "text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_set>

#include "base/bytes.h"
#include "base/error.h"
#include "base/files.h"
#include "formats/file_kind.h"
#include "text/unicode.h"

namespace rocket {

namespace {

/// One message of protobuf's wire format, field by field.
class Message {
 public:
  Message(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  /// Goes to the next field, passing over what was not read of the last; false at the end.
  bool next() {
    if (pending_) skip();
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field_ = key >> 3;
    wire_ = static_cast<int>(key & 7);
    if (field_ == 0) refuse("field 0");
    pending_ = true;
    return true;
  }
  std::uint64_t field() const { return field_; }

  std::uint64_t number(std::string_view what) {
    expect(0, what);
    return varint();
  }
  std::string_view bytes(std::string_view what) {
    expect(2, what);
    return take(varint());
  }
  float real(std::string_view what) {
    expect(5, what);
    return std::bit_cast<float>(static_cast<std::uint32_t>(little_endian(std::as_bytes(std::span(take(4))))));
  }

  [[noreturn]] void refuse(const std::string& problem) const {
    fail_data("{}: {} before byte {} of {}: no SentencePiece model, or a damaged one", name_, problem, at_,
              bytes_.size());
  }

 private:
  void expect(int wire, std::string_view what) {
    if (wire_ != wire) refuse(fmt::format("{} of wire type {}, expected {}", what, wire_, wire));
    pending_ = false;
  }

  void skip() {
    pending_ = false;
    if (wire_ == 0)
      varint();
    else if (wire_ == 1)
      take(8);
    else if (wire_ == 2)
      take(varint());
    else if (wire_ == 5)
      take(4);
    else
      refuse(fmt::format("wire type {}", wire_));
  }

  std::string_view take(std::uint64_t n) {
    if (n > bytes_.size() - at_) refuse(fmt::format("{} bytes more than there are", n));
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number of more than 64 bits");
  }

  std::string_view bytes_;
  std::string name_;
  std::size_t at_ = 0;
  std::uint64_t field_ = 0;
  int wire_ = 0;
  bool pending_ = false;
};

SentencePiece read_piece(std::string_view bytes, const std::string& name) {
  Message message(bytes, name);
  SentencePiece piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.bytes("piece");
    if (message.field() == 2) piece.score = message.real("score");
    if (message.field() == 3) {
      const std::uint64_t type = message.number("type");
      if (type < 1 || type > 6) fail_data("{}: type {} is not known", name, type);
      piece.type = static_cast<SentencePiece::Type>(type);
    }
  }
  if (piece.text.empty() || !is_utf8(piece.text)) fail_data("{}: expected a text in UTF-8", name);
  if (!std::isfinite(piece.score)) fail_data("{}: the score {} is not finite", name, piece.score);
  return piece;
}

SentencePieceModel::Kind read_kind(std::string_view trainer) {
  Message message(trainer, "trainer_spec");
  std::uint64_t kind = 1;
  while (message.next())
    if (message.field() == 3) kind = message.number("model_type");
  if (kind < 1 || kind > 4) fail_data("trainer_spec: model_type {} is not known", kind);
  return static_cast<SentencePieceModel::Kind>(kind);
}

std::string read_charsmap(std::string_view normalizer) {
  Message message(normalizer, "normalizer_spec");
  std::string charsmap;
  while (message.next())
    if (message.field() == 2) charsmap = message.bytes("precompiled_charsmap");
  return charsmap;
}

SentencePieceModel read_message(std::string_view bytes) {
  SentencePieceModel model;
  Message message(bytes, "the file");
  while (message.next()) {
    if (message.field() == 1)
      model.pieces.push_back(
          read_piece(message.bytes("pieces"), fmt::format("pieces[{}]", model.pieces.size())));
    if (message.field() == 2) model.kind = read_kind(message.bytes("trainer_spec"));
    if (message.field() == 3) model.precompiled_charsmap = read_charsmap(message.bytes("normalizer_spec"));
  }
  if (model.pieces.empty()) message.refuse("no pieces");
  std::unordered_set<std::string_view> texts;
  for (const SentencePiece& piece : model.pieces)
    if (!texts.insert(piece.text).second) fail_data("pieces: '{}' is there twice", piece.text);
  return model;
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  refuse_other_kinds(bytes, file.string(), "a SentencePiece model");
  return in_context(file.string(), [&] { return read_message(bytes); });
}

}  // namespace rocket
