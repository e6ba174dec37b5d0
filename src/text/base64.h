// Bytes that stand in JSON as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rocket {

/// Bytes from base64 with padding (RFC 4648); nullopt if it is none.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace rocket
