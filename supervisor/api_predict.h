/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * POST /predict: a strict body in, a prediction out.
 */
#ifndef CANARYD_API_PREDICT_H
#define CANARYD_API_PREDICT_H

struct api_predict;
struct gateway;
struct router;
struct settings;

/* settings: borrowed until api_predict_set_settings gives newer ones. */
struct api_predict *api_predict_new(struct gateway *g, struct router *router,
                                    const struct settings *settings);
void api_predict_set_settings(struct api_predict *a, const struct settings *settings);
void api_predict_free(struct api_predict **a);

#endif
