# CUDA and NCCL behind one option. What needs them sits in src/comm/nccl_reducer.cpp and src/kernels/gpu.cu; stubs stand
# in for these where they are absent. NCCL itself is opened at run time, so only its header is needed here.
set(ROCKET_HAVE_CUDA OFF)
if(NOT ROCKET_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 13 QUIET)
  set(ROCKET_NCCL_WHEEL ${ROCKET_TORCH_ROOT}/../nvidia/nccl)
  find_path(ROCKET_NCCL_INCLUDE nccl.h
    HINTS ${ROCKET_NCCL_WHEEL}/include ${CUDAToolkit_INCLUDE_DIRS} /usr/local/include)
  find_library(ROCKET_NCCL_LIBRARY NAMES libnccl.so.2 nccl
    HINTS ${ROCKET_NCCL_WHEEL}/lib ${CUDAToolkit_LIBRARY_DIR} /usr/local/lib)
  if(CUDAToolkit_FOUND AND ROCKET_NCCL_INCLUDE AND EXISTS ${ROCKET_TORCH_ROOT}/lib/libtorch_cuda.so)
    set(ROCKET_HAVE_CUDA ON)
  elseif(ROCKET_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ROCKET_CUDA=ON needs the CUDA 13 tool kit (nvcc), NCCL's nccl.h and a LibTorch with "
      "libtorch_cuda.so. Found: tool kit '${CUDAToolkit_VERSION}', nccl.h in '${ROCKET_NCCL_INCLUDE}'.")
  endif()
endif()
message(STATUS "CUDA and NCCL: ${ROCKET_HAVE_CUDA}")

add_library(rocket_nccl INTERFACE)
set(ROCKET_COMM_WITHOUT nccl_reducer.cpp)
set(ROCKET_KERNELS_WITHOUT "")
if(ROCKET_HAVE_CUDA)
  set(ROCKET_COMM_WITHOUT nccl_stub.cpp)
  set(ROCKET_KERNELS_WITHOUT gpu_stub.cpp)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  set(CMAKE_CUDA_STANDARD 17)  # the newest that CMake 3.25 knows of nvcc 13
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90")  # A100, H100 and H200; the driver translates for later ones
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # LibTorch's
  enable_language(CUDA)
  rocket_torch_library(rocket_torch_cuda libtorch_cuda.so)
  rocket_torch_library(rocket_c10_cuda libc10_cuda.so)
  list(APPEND CMAKE_BUILD_RPATH ${PROJECT_BINARY_DIR})  # programs of tests find librocket_cuda_graphs.so there
  target_include_directories(rocket_nccl SYSTEM INTERFACE ${ROCKET_NCCL_INCLUDE})
  target_link_libraries(rocket_nccl INTERFACE CUDA::cudart ${CMAKE_DL_LIBS})
  if(ROCKET_NCCL_LIBRARY)
    cmake_path(GET ROCKET_NCCL_LIBRARY PARENT_PATH folder)
    list(APPEND CMAKE_BUILD_RPATH ${folder})
    list(APPEND CMAKE_INSTALL_RPATH ${folder})
  endif()
endif()
