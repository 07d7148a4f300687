# Warnings, hardening, sanitizers: one interface target that everything of ours links. Each flag is probed, for gcc, clang and
# their versions know different ones.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)
add_library(shale_flags INTERFACE)

function(shale_flag flag)
  string(MAKE_C_IDENTIFIER "have${flag}" var)
  check_c_compiler_flag("${flag}" ${var})
  if(${var})
    target_compile_options(shale_flags INTERFACE ${flag})
  endif()
endfunction()

foreach(flag -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wold-style-definition -Wmissing-prototypes -Wmissing-declarations -Wredundant-decls -Wpointer-arith
    -Wcast-qual -Wcast-align=strict -Wwrite-strings -Wvla -Walloca -Wformat=2 -Wformat-signedness -Wundef
    -Wswitch-enum -Wnull-dereference -Wduplicated-cond -Wduplicated-branches -Wlogical-op
    -Wimplicit-fallthrough -Wdouble-promotion -Wfloat-equal -Wjump-misses-init -Wdate-time
    -Wframe-larger-than=16384 -fno-common -fstack-protector-strong -fstack-clash-protection)
  shale_flag(${flag})
endforeach()
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  shale_flag(-Wcomma)
  shale_flag(-Wunreachable-code)
endif()
if(SHALE_WERROR)
  target_compile_options(shale_flags INTERFACE -Werror)
endif()
target_compile_definitions(shale_flags INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE _FILE_OFFSET_BITS=64)
if(SHALE_PLAIN)
  target_compile_definitions(shale_flags INTERFACE SHL_PLAIN=1)
endif()

if(SHALE_SANITIZE)
  target_compile_options(shale_flags INTERFACE -fsanitize=${SHALE_SANITIZE} -fno-omit-frame-pointer -g
    -fno-sanitize-recover=all)
  target_link_options(shale_flags INTERFACE -fsanitize=${SHALE_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_options(shale_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
  shale_flag(-fcf-protection=full)
  target_link_options(shale_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(SHALE_FUZZ)
  target_compile_options(shale_flags INTERFACE -fsanitize=fuzzer-no-link) # libFuzzer then sees the library's branches
endif()
if(SHALE_COVERAGE)
  target_compile_options(shale_flags INTERFACE --coverage -O0 -g)
  target_link_options(shale_flags INTERFACE --coverage)
endif()
