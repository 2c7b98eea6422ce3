# As little of OpenWrt's build system as package/wgembed/Makefile needs to be read and run. See test_packages.py.
INCLUDE_DIR:=$(TOPDIR)/include
STAGING_DIR:=$(OUTPUT)/staging
CP:=cp -fpR
