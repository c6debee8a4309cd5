/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The treaty between the supervisor and a worker: version, message numbers,
 * inherited descriptors and limits. docs/protocol.md is the same in prose.
 * Changing anything here bumps WIRE_VERSION; a retired number stays reserved.
 *
 * A frame on the socket is a u32 big-endian length and one msgpack array
 * [type, id, ...]; id is 0 where a message has none.
 */
#ifndef CANARYD_WIRE_H
#define CANARYD_WIRE_H

#define WIRE_VERSION 2

/* What a worker finds open when it starts, besides 0, 1 and 2. */
#define WIRE_SOCKET_FD 3 /* AF_UNIX stream socket to the supervisor */
#define WIRE_MODEL_FD  4 /* sealed memfd with the model's bytes; read it with pread */
/* The exporter finds a pipe for its reason of refusal on 3 instead, and here: */
#define WIRE_EXPORT_FD 5 /* empty memfd for the model in the native format */
#define WIRE_FILTER_FD 6 /* the system calls that it may make, as struct sock_filter */

enum wire_type {
    /* to the worker */
    WIRE_PREDICT = 1, /* id, n_rows, features: array of float 64, or bin of little-endian doubles */
    WIRE_DELAY = 2,   /* 0, ms: sleep so long before every later answer */
    WIRE_PING = 3,    /* id */
    WIRE_QUIT = 4,    /* 0: answer what you have, then exit 0 */
    /* from the worker */
    WIRE_READY = 16,  /* 0, protocol version, model kind, n_features, output name, cage */
    WIRE_REFUSE = 17, /* 0, text: the model can't be served; the worker exits */
    WIRE_RESULT = 18, /* id, outputs: array of n_rows finite float 64, service_ns */
    WIRE_FAULT = 19,  /* id, text: this question can't be answered */
    WIRE_PONG = 20,   /* id */
};

#define WIRE_MAX_FRAME_BYTES  2097152 /* to the worker: 131,072 features fit */
#define WIRE_MAX_ANSWER_BYTES 65536   /* from the worker */
#define WIRE_MAX_FEATURES     131072  /* of all rows of one PREDICT */
#define WIRE_MAX_ROWS         4096    /* of one PREDICT */
#define WIRE_MAX_TEXT         480     /* bytes of a REFUSE or FAULT; longer is cut */
#define WIRE_MAX_NAME         64      /* bytes of a model kind, an output name or a cage */
#define WIRE_MAX_DELAY_MS     60000
#define WIRE_BIN_FROM         64 /* so many features and more are sent as one bin */

#endif
