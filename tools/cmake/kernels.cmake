# The CPU kernels are compiled once for each instruction set and chosen when the program starts.
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND ROCKET_KERNELS_WITHOUT kernels_avx2.cpp kernels_avx512.cpp kernels_avx512_bf16.cpp)
endif()

# Optimised in every build type: a product of an unoptimised build is thirty times slower.
function(rocket_kernel_flags)
  if(ROCKET_HAVE_CUDA)
    target_sources(rocket_kernels PRIVATE kernels/gpu.cu)
    set_source_files_properties(kernels/gpu.cu PROPERTIES COMPILE_OPTIONS --expt-relaxed-constexpr)
  endif()
  set(avx2 -mavx2 -mfma)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  set_source_files_properties(kernels/kernels_portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
  set_source_files_properties(kernels/kernels_avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx2}")
  set_source_files_properties(kernels/kernels_avx512.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx512}")
  set_source_files_properties(kernels/kernels_avx512_bf16.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx512};-mavx512bf16")
endfunction()
