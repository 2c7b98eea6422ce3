# As little of OpenWrt's build system as the Makefiles in package/ need to be read and run. See test_packages.py.
INCLUDE_DIR:=$(TOPDIR)/include
STAGING_DIR:=$(OUTPUT)/staging
CP:=cp -fpR
INSTALL_DIR:=install -d -m0755
INSTALL_DATA:=install -m0644
INSTALL_BIN:=install -m0755
TARGET_CC:=cc
TARGET_CFLAGS:=-Os -pipe
TARGET_LDFLAGS:=-Wl,-z,relro
