# What `cmake --install` puts where: headers, both libraries, and two ways to find them (pkg-config
# and a CMake package). Programs, manual pages and completions are installed where they are built.

# What libwarpgate.a needs at link time: those with a pkg-config file, and those without one.
# The test house.consumer links it, and so finds what is missing here.
set(WARPGATE_REQUIRED_MODULES openssl libuv libpcre2-8 libmosquitto miniupnpc usrsctp)
set(WARPGATE_REQUIRED_LIBRARIES natpmp)

function(warpgate_install_library)
  # The prefix is said from where the file lies: `cmake --install --prefix` may put it anywhere.
  file(RELATIVE_PATH WARPGATE_PC_TO_PREFIX
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  string(REGEX REPLACE "/$" "" WARPGATE_PC_TO_PREFIX ${WARPGATE_PC_TO_PREFIX})
  list(JOIN WARPGATE_REQUIRED_MODULES " " WARPGATE_PC_REQUIRES)
  list(TRANSFORM WARPGATE_REQUIRED_LIBRARIES PREPEND -l OUTPUT_VARIABLE WARPGATE_PC_LIBS)
  foreach(library IN LISTS CMAKE_DL_LIBS)
    list(APPEND WARPGATE_PC_LIBS -l${library})
  endforeach()
  list(JOIN WARPGATE_PC_LIBS " " WARPGATE_PC_LIBS)
  configure_file(${CMAKE_SOURCE_DIR}/ci/cmake/warpgate.pc.in ${CMAKE_BINARY_DIR}/warpgate.pc @ONLY)

  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/warpgate)
  include(CMakePackageConfigHelpers)
  configure_package_config_file(${CMAKE_SOURCE_DIR}/ci/cmake/warpgate-config.cmake.in
    ${CMAKE_BINARY_DIR}/warpgate-config.cmake INSTALL_DESTINATION ${package}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
  # Before 1.0 a new minor version may change what programs see.
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/warpgate-config-version.cmake
    COMPATIBILITY SameMinorVersion)

  install(TARGETS warpgate EXPORT warpgate
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(TARGETS warpgate_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT warpgate NAMESPACE warpgate:: FILE warpgate-targets.cmake DESTINATION ${package})
  install(FILES ${CMAKE_BINARY_DIR}/warpgate-config.cmake
    ${CMAKE_BINARY_DIR}/warpgate-config-version.cmake DESTINATION ${package})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/src/include/warpgate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(FILES ${CMAKE_BINARY_DIR}/warpgate.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
