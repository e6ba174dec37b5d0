# LibTorch, taken from a PyPI wheel or a libtorch folder as a plain C++ library. find_package(Torch) is not
# used: it would want the whole CUDA tool kit, and we need no more than libtorch_cpu.so and libc10.so.
set(ROCKET_TORCH "" CACHE PATH "Folder with include/ and lib/ of LibTorch (a wheel's torch/ folder will do)")
find_path(ROCKET_TORCH_ROOT include/ATen/ATen.h
  HINTS ${ROCKET_TORCH} ${PROJECT_SOURCE_DIR}/.deps/python/torch
  PATH_SUFFIXES torch libtorch NO_CACHE)
if(NOT ROCKET_TORCH_ROOT)
  message(FATAL_ERROR "LibTorch was not found. Run tools/build, or: "
    "python3 -m pip install --no-deps --target .deps/python -r tools/lib/libtorch-cpu.txt (libtorch-cuda.txt where there are GPUs), "
    "or pass -DROCKET_TORCH=<folder>.")
endif()
message(STATUS "LibTorch: ${ROCKET_TORCH_ROOT}")

function(rocket_torch_library target file)
  if(NOT EXISTS ${ROCKET_TORCH_ROOT}/lib/${file})
    message(FATAL_ERROR "${ROCKET_TORCH_ROOT}/lib/${file} is missing: this is not a whole LibTorch.")
  endif()
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${ROCKET_TORCH_ROOT}/lib/${file})
endfunction()

rocket_torch_library(rocket_c10 libc10.so)
rocket_torch_library(rocket_torch_cpu libtorch_cpu.so)

# The wheel's libtorch_cpu.so needs these two of CUDA 13 even where there is no GPU.
set(ROCKET_CUDA_RUNTIME_DIRS "")
foreach(library cudart cupti)
  find_library(ROCKET_LIB_${library} NAMES lib${library}.so.13
    HINTS ${PROJECT_SOURCE_DIR}/.deps/python/nvidia/cu13/lib ${ROCKET_TORCH_ROOT}/../nvidia/cu13/lib
          /usr/local/cuda/lib64 /usr/local/cuda/lib /usr/local/cuda/extras/CUPTI/lib64 /usr/local/cuda-13.0/lib
    PATHS /usr/local/lib ENV LD_LIBRARY_PATH)
  if(ROCKET_LIB_${library})
    cmake_path(GET ROCKET_LIB_${library} PARENT_PATH folder)
    list(APPEND ROCKET_CUDA_RUNTIME_DIRS ${folder})
  elseif(EXISTS ${ROCKET_TORCH_ROOT}/lib/libtorch_cuda.so)
    message(FATAL_ERROR "lib${library}.so.13, which libtorch_cpu.so needs, was not found. Run tools/build, or: python3 -m pip "
      "install --no-deps --target .deps/python -r tools/lib/libtorch-cpu.txt, or install the CUDA 13 tool kit.")
  endif()
endforeach()
list(REMOVE_DUPLICATES ROCKET_CUDA_RUNTIME_DIRS)

add_library(rocket_torch INTERFACE)
target_include_directories(rocket_torch SYSTEM INTERFACE
  ${ROCKET_TORCH_ROOT}/include ${ROCKET_TORCH_ROOT}/include/torch/csrc/api/include)
# The OpenMP runtime that LibTorch brings along: its thread pool is ours too.
file(GLOB ROCKET_TORCH_OPENMP ${ROCKET_TORCH_ROOT}/lib/libgomp*.so* ${ROCKET_TORCH_ROOT}/../torch.libs/libgomp*.so*)
list(APPEND ROCKET_TORCH_OPENMP gomp)  # where it brings none, the compiler's
list(GET ROCKET_TORCH_OPENMP 0 ROCKET_TORCH_OPENMP)
target_link_libraries(rocket_torch INTERFACE rocket_torch_cpu rocket_c10 ${ROCKET_TORCH_OPENMP})
# The wheel's include/ holds another fmt, without its library: the installed one goes before it. Used as headers
# only, the wheel's would cost 9 of the 16 seconds that a file takes to compile.
find_path(ROCKET_FMT_INCLUDE fmt/format.h NO_CACHE REQUIRED HINTS ${fmt_DIR}/../../../include ${fmt_DIR}/../../../../include)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/installed)
file(CREATE_LINK ${ROCKET_FMT_INCLUDE}/fmt ${PROJECT_BINARY_DIR}/installed/fmt SYMBOLIC)
target_include_directories(rocket_torch SYSTEM BEFORE INTERFACE ${PROJECT_BINARY_DIR}/installed)
list(APPEND CMAKE_BUILD_RPATH ${ROCKET_TORCH_ROOT}/lib ${ROCKET_CUDA_RUNTIME_DIRS})
list(APPEND CMAKE_INSTALL_RPATH ${ROCKET_TORCH_ROOT}/lib ${ROCKET_CUDA_RUNTIME_DIRS})
add_link_options(-Wl,--disable-new-dtags)  # DT_RPATH: also for what libtorch_cpu.so itself needs
foreach(folder ${ROCKET_CUDA_RUNTIME_DIRS})
  add_link_options(-Wl,-rpath-link,${folder})
endforeach()

set(ROCKET_TORCH_VERSION "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${ROCKET_TORCH_ROOT}/include/torch/headeronly/version.h line REGEX "define TORCH_VERSION_${part} ")
  string(REGEX MATCH "[0-9]+" number "${line}")
  list(APPEND ROCKET_TORCH_VERSION ${number})
endforeach()
list(JOIN ROCKET_TORCH_VERSION "." ROCKET_TORCH_VERSION)
