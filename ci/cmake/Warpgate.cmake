# The house in CMake: one object library per room, one library from all rooms and built-in plugins.
# Sources are globbed per folder: to add a file, a room's test or a plugin, put it in its folder.

include(GNUInstallDirs)
include(${CMAKE_CURRENT_LIST_DIR}/WarpgateInstall.cmake)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()

# Assertions stay on in every build: they guard our own invariants, and no byte from the network
# reaches one.
foreach(config RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${config} "${CMAKE_C_FLAGS_${config}}")
endforeach()

# What every file of ours is compiled with.
add_library(warpgate_warnings INTERFACE)
target_compile_options(warpgate_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
  $<$<BOOL:${WARPGATE_WERROR}>:-Werror>)
target_compile_definitions(warpgate_warnings INTERFACE
  _GNU_SOURCE WARPGATE_VERSION="${PROJECT_VERSION}"
  # Standard printf formats (%zu, PRIu64) instead of those of Microsoft's C library.
  $<$<BOOL:${WIN32}>:__USE_MINGW_ANSI_STDIO=1>)
target_include_directories(warpgate_warnings INTERFACE
  ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/include)

# Instrumentation goes into everything that is compiled, so it is set for the whole build.
if(WARPGATE_SANITIZE)
  add_compile_options(-fsanitize=${WARPGATE_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g -O1)
  add_link_options(-fsanitize=${WARPGATE_SANITIZE})
  add_library(warpgate_sanitizer_options OBJECT ${CMAKE_CURRENT_LIST_DIR}/sanitizer_options.c)
  target_compile_definitions(warpgate_sanitizer_options PRIVATE
    WARPGATE_REPORTS="${CMAKE_BINARY_DIR}/reports")
  # It is asked before the sanitizer can check anything.
  target_compile_options(warpgate_sanitizer_options PRIVATE -fno-sanitize=all)
elseif(NOT WIN32)
  # The library reads what strangers send: cheap hardening in every optimised build.
  add_compile_options(-fstack-protector-strong
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
if(WARPGATE_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
if(WARPGATE_BUILD_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "WARPGATE_BUILD_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

macro(warpgate_find_dependencies)
  if(NOT WIN32)
    find_package(OpenSSL 3.0 REQUIRED)
  endif()
  if(NOT WARPGATE_PORTABLE_ONLY)
    find_package(PkgConfig REQUIRED)
    find_package(Threads REQUIRED)
    pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
    pkg_check_modules(MOSQUITTO REQUIRED IMPORTED_TARGET libmosquitto)
    pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
    pkg_check_modules(UPNP REQUIRED IMPORTED_TARGET miniupnpc)
    pkg_check_modules(SCTP REQUIRED IMPORTED_TARGET usrsctp)
    # libnatpmp has no pkg-config file.
    find_path(NATPMP_INCLUDE_DIR natpmp.h REQUIRED)
    find_library(NATPMP_LIBRARY natpmp REQUIRED)
    add_library(NATPMP::NATPMP UNKNOWN IMPORTED)
    set_target_properties(NATPMP::NATPMP PROPERTIES IMPORTED_LOCATION ${NATPMP_LIBRARY}
      INTERFACE_INCLUDE_DIRECTORIES ${NATPMP_INCLUDE_DIR})
    pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
    pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
    if(WARPGATE_BUILD_LAB)
      pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)
    endif()
  endif()
endmacro()

# A room of the house: src/<name>/*.c as an object library wg_<name>.
function(warpgate_room name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  if(name STREQUAL wire)
    # Digests come from the platform: OpenSSL everywhere but Windows, where CNG has them.
    if(WIN32)
      list(FILTER sources EXCLUDE REGEX digest_openssl)
    else()
      list(FILTER sources EXCLUDE REGEX digest_cng)
    endif()
  endif()
  if(NOT sources)
    return()
  endif()
  add_library(wg_${name} OBJECT ${sources})
  target_link_libraries(wg_${name} PRIVATE warpgate_warnings)
  set_property(GLOBAL APPEND PROPERTY WARPGATE_OBJECTS $<TARGET_OBJECTS:wg_${name}>)
  if(name STREQUAL wire AND NOT WIN32)
    target_link_libraries(wg_${name} PRIVATE OpenSSL::Crypto)
  elseif(name MATCHES "^(identity|pipe)$")
    target_link_libraries(wg_${name} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
    if(name STREQUAL pipe)
      target_link_libraries(wg_${name} PRIVATE PkgConfig::PCRE2)
    endif()
  elseif(name STREQUAL link)
    target_link_libraries(wg_${name} PRIVATE PkgConfig::SCTP Threads::Threads)
  elseif(name STREQUAL driver_uv)
    target_link_libraries(wg_${name} PRIVATE PkgConfig::UV PkgConfig::MOSQUITTO
      PkgConfig::UPNP NATPMP::NATPMP OpenSSL::Crypto)
  endif()
endfunction()

# Built-in plugins: each folder of plugins/ with a C file of its own name defines `warp_plugin_<name>`.
# A constructor that registers itself would vanish from a static library, so the table is generated.
function(warpgate_plugins)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/plugins/*/*.c)
  set(declarations "")
  set(entries "")
  foreach(file IN LISTS sources)
    get_filename_component(name ${file} NAME_WE)
    get_filename_component(folder ${file} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    if(name STREQUAL folder)
      string(APPEND declarations "extern const warp_plugin warp_plugin_${name};\n")
      string(APPEND entries "    &warp_plugin_${name},\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/plugin_table.c CONTENT
"/* Generated from the folders of plugins/. */
#include \"connect/plugin_table.h\"

${declarations}
const warp_plugin *const wg_plugin_table[] = {
${entries}    NULL,
};
")
  add_library(wg_plugins OBJECT ${sources} ${CMAKE_BINARY_DIR}/generated/plugin_table.c)
  target_link_libraries(wg_plugins PRIVATE warpgate_warnings)
  set_property(GLOBAL APPEND PROPERTY WARPGATE_OBJECTS $<TARGET_OBJECTS:wg_plugins>)
endfunction()

# libwarpgate: shared with the public symbols only; static with all of them, which our own programs
# and the tests link.
function(warpgate_library)
  get_property(objects GLOBAL PROPERTY WARPGATE_OBJECTS)
  add_library(warpgate_static STATIC ${objects})
  add_library(warpgate SHARED ${objects})
  foreach(target warpgate_static warpgate)
    target_include_directories(${target} PUBLIC
      $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    # WarpgateInstall.cmake tells others what a static library needs: keep them alike.
    target_link_libraries(${target} PRIVATE
      OpenSSL::SSL OpenSSL::Crypto PkgConfig::UV PkgConfig::MOSQUITTO PkgConfig::PCRE2
      PkgConfig::UPNP NATPMP::NATPMP PkgConfig::SCTP Threads::Threads ${CMAKE_DL_LIBS})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME warpgate LINKER_LANGUAGE C)
  endforeach()
  set_target_properties(warpgate PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)

  warpgate_install_library()
endfunction()

# The portable rooms alone as one linked library: linking is what shows that they need nothing but
# the C library and, for digests, the platform.
function(warpgate_portable_library)
  get_property(objects GLOBAL PROPERTY WARPGATE_OBJECTS)
  add_library(warpgate_portable SHARED ${objects})
  set_target_properties(warpgate_portable PROPERTIES LINKER_LANGUAGE C)
  if(WIN32)
    target_link_libraries(warpgate_portable PRIVATE bcrypt)
  else()
    target_link_libraries(warpgate_portable PRIVATE OpenSSL::Crypto)
    if(NOT APPLE) # whose linker already refuses undefined symbols
      target_link_options(warpgate_portable PRIVATE -Wl,-z,defs)
    endif()
  endif()
endfunction()

# A program of ours, from sources. Under sanitizers each knows where to report.
function(warpgate_executable name)
  add_executable(${name} ${ARGN})
  if(TARGET warpgate_sanitizer_options)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:warpgate_sanitizer_options>)
  endif()
endfunction()

# A program that stands on top of the library.
function(warpgate_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  warpgate_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE warpgate_warnings ${arg_LIBS})
endfunction()
