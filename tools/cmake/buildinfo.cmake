# What `rocket --version` tells of the build (src/buildinfo).
string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}" ROCKET_FLAGS)
if(ROCKET_SANITIZE)
  string(APPEND ROCKET_FLAGS " -fsanitize=${ROCKET_SANITIZE}")
endif()
string(REPLACE "\\" "\\\\" ROCKET_FLAGS "${ROCKET_FLAGS}")
string(REPLACE "\"" "\\\"" ROCKET_FLAGS "${ROCKET_FLAGS}")

set(ROCKET_CUDA_VERSION "")
if(ROCKET_HAVE_CUDA)
  set(ROCKET_CUDA_VERSION ${CUDAToolkit_VERSION})
endif()
set(ROCKET_LIBRARY_VERSIONS "")
foreach(pair "LibTorch=${ROCKET_TORCH_VERSION}" "CUDA=${ROCKET_CUDA_VERSION}" "Arrow=${ROCKET_ARROW_VERSION}"
    "yaml-cpp=${yaml-cpp_VERSION}" "fmt=${fmt_VERSION}" "nlohmann-json=${nlohmann_json_VERSION}" "CLI11=${CLI11_VERSION}"
    "PCRE2=${PCRE2_VERSION}" "utf8proc=${UTF8PROC_VERSION}" "xxHash=${XXHASH_VERSION}" "zstd=${ZSTD_VERSION}"
    "zlib=${ZLIB_VERSION}" "liblzma=${LZMA_VERSION}" "bzip2=${BZIP2_VERSION_STRING}" "libseccomp=${SECCOMP_VERSION}"
    "NLopt=${NLOPT_VERSION}")
  string(REGEX MATCH "^([^=]+)=(.*)$" pair "${pair}")
  string(APPEND ROCKET_LIBRARY_VERSIONS "    {\"${CMAKE_MATCH_1}\", \"${CMAKE_MATCH_2}\"},\n")
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/src/buildinfo/configured.h.in ${PROJECT_BINARY_DIR}/generated/buildinfo/configured.h)

# The commit may change between two builds, and git is asked at each; commit.cpp is written only where it has changed.
find_program(ROCKET_GIT git)
set(commit_source ${PROJECT_BINARY_DIR}/generated/buildinfo/commit.cpp)
set(write_commit ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DTEMPLATE=${PROJECT_SOURCE_DIR}/src/buildinfo/commit.cpp.in
  -DOUTPUT=${commit_source} -DVERSION=${PROJECT_VERSION} -DGIT=$<$<BOOL:${ROCKET_GIT}>:${ROCKET_GIT}>
  -P ${PROJECT_SOURCE_DIR}/tools/cmake/commit.cmake)
add_custom_target(rocket_commit_source COMMAND ${write_commit} BYPRODUCTS ${commit_source} COMMENT "Asking git for the commit" VERBATIM)
add_library(rocket_commit SHARED ${commit_source})
add_dependencies(rocket_commit rocket_commit_source)
target_include_directories(rocket_commit PRIVATE ${PROJECT_SOURCE_DIR}/src)
set_target_properties(rocket_commit PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
