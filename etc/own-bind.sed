# Makes canaryd-bind.service of canaryd.service: canaryd opens its port itself, for
# where socket activation is not wanted. Used by `make install`.
1,/^\[Unit\]$/c\
# Made of canaryd.service by etc/own-bind.sed: canaryd listens itself, on `listen` of\
# the settings, and during a restart connections are refused. Use the one or the\
# other. Beyond loopback: `systemctl edit canaryd-bind`, [Service], and another\
# IPAddressAllow= for the clients' networks.\
[Unit]
/^# The socket is always systemd's/d
s/^Requires=canaryd.socket$/Conflicts=canaryd.service canaryd.socket/
s/^After=canaryd.socket /After=canaryd.service canaryd.socket /
/^# Nothing here opens a connection/d
/^PrivateNetwork=/d
s/^IPAddressDeny=any$/&\nIPAddressAllow=localhost/
s/^RestrictAddressFamilies=AF_UNIX$/RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6/
# The network costs points; this one is to be had, for supervisor/beneath.c can do
# without openat2.
s/^# Not RestrictSUIDSGID: .*/# It takes openat2 away: model paths are confined name by name then.\nRestrictSUIDSGID=yes/
/^Also=canaryd.socket$/d
