/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The reader of an ensemble of trees. Two passes: the first counts what is
 * there, the second fills one array of nodes. After it every index is inside
 * its tree and above its parent's, and every node but the root has exactly one
 * parent: whatever the input, a walk ends at a leaf.
 */
#include <stdlib.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "worker/model_parts.h"

enum column { COLUMN_FEATURE, COLUMN_THRESHOLD, COLUMN_LEFT, COLUMN_RIGHT, COLUMN_VALUE };

#define N_COLUMNS 5

static const char *const column_names[N_COLUMNS] = {
    [COLUMN_FEATURE] = "feature", [COLUMN_THRESHOLD] = "threshold", [COLUMN_LEFT] = "left",
    [COLUMN_RIGHT] = "right",     [COLUMN_VALUE] = "value",
};

/* A tree being read: the five columns with a cursor in each, all at node k. */
struct tree {
    struct field columns[N_COLUMNS];
    const cJSON *cursors[N_COLUMNS];
    size_t k;
    size_t n;
    uint32_t root;      /* index of node 0 among all nodes */
    size_t n_features;  /* of the model */
    struct node *nodes; /* of this tree */
    bool *has_parent;
};

static struct field cell(const struct tree *t, enum column column)
{
    return field_element(&t->columns[column], t->k, t->cursors[column]);
}

/* Counts the nodes of one tree; its columns must be equally long. */
static int count_nodes(const struct field *f, size_t max, size_t *n, struct err *e)
{
    if (field_object(f, column_names, N_COLUMNS, e) < 0)
        return -1;
    const struct field first = field_of(f, column_names[0]);
    if (field_count(&first, 1, max, n, e) < 0)
        return -1;
    for (size_t i = 1; i < N_COLUMNS; i++) {
        const struct field column = field_of(f, column_names[i]);
        if (field_count(&column, *n, *n, n, e) < 0)
            return -1;
    }
    return 0;
}

static int count_all_nodes(const struct field *trees, size_t *n_nodes, struct err *e)
{
    size_t total = 0;
    size_t k = 0;
    for (const cJSON *item = trees->item->child; item != NULL; item = item->next) {
        const struct field f = field_element(trees, k++, item);
        size_t n;
        if (total == MODEL_MAX_NODES)
            return field_refuse(&f, e, "the trees before hold all of the %d nodes there may be",
                                MODEL_MAX_NODES);
        if (count_nodes(&f, MODEL_MAX_NODES - total, &n, e) < 0)
            return -1;
        total += n;
    }
    *n_nodes = total;
    return 0;
}

/* A column's number in min..max; the ordinary cell costs no pointer. */
static int read_index(const struct tree *t, enum column column, int64_t min, size_t end,
                      int64_t *index, struct err *e)
{
    if (jsonx_as_int(t->cursors[column], min, (int64_t)end - 1, index))
        return 0;
    const struct field f = cell(t, column);
    return field_whole(&f, min, (int64_t)end - 1, index, e);
}

static int read_number(const struct tree *t, enum column column, double *x, struct err *e)
{
    if (cJSON_IsNumber(t->cursors[column])) {
        *x = t->cursors[column]->valuedouble;
        return 0;
    }
    const struct field f = cell(t, column);
    return field_number(&f, x, e);
}

static int read_child(const struct tree *t, enum column column, uint32_t *child, struct err *e)
{
    int64_t index;
    if (!jsonx_as_int(t->cursors[column], (int64_t)t->k + 1, (int64_t)t->n - 1, &index)) {
        const struct field f = cell(t, column);
        return field_expected(&f, e,
                              "a child of node %zu: a node after it, at most the tree's last, %zu",
                              t->k, t->n - 1);
    }
    if (t->has_parent[index]) {
        const struct field f = cell(t, column);
        return field_refuse(&f, e, "node %lld has two parents", (long long)index);
    }
    t->has_parent[index] = true;
    *child = t->root + (uint32_t)index;
    return 0;
}

static int read_leaf(const struct tree *t, struct node *node, struct err *e)
{
    static const enum column children[2] = {COLUMN_LEFT, COLUMN_RIGHT};
    int64_t none;
    for (size_t i = 0; i < 2; i++) {
        if (!jsonx_as_int(t->cursors[children[i]], -1, -1, &none)) {
            const struct field f = cell(t, children[i]);
            return field_expected(&f, e, "-1, because node %zu is a leaf (its feature is -1)",
                                  t->k);
        }
    }
    node->feature = NODE_IS_LEAF;
    return read_number(t, COLUMN_VALUE, &node->number, e);
}

static int read_node(const struct tree *t, struct node *node, struct err *e)
{
    int64_t feature;
    double unused;
    if (read_index(t, COLUMN_FEATURE, -1, t->n_features, &feature, e) < 0 ||
        read_number(t, COLUMN_THRESHOLD, &node->number, e) < 0 ||
        read_number(t, COLUMN_VALUE, &unused, e) < 0)
        return -1;
    if (feature < 0)
        return read_leaf(t, node, e);
    node->feature = (uint32_t)feature;
    if (read_child(t, COLUMN_LEFT, &node->child[0], e) < 0)
        return -1;
    return read_child(t, COLUMN_RIGHT, &node->child[1], e);
}

static int read_nodes(struct tree *t, const struct field *f, struct err *e)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        t->columns[i] = field_of(f, column_names[i]);
        t->cursors[i] = t->columns[i].item->child;
    }
    for (t->k = 0; t->k < t->n; t->k++) {
        if (t->k > 0 && !t->has_parent[t->k])
            return field_refuse(f, e, "no node has node %zu as a child", t->k);
        if (read_node(t, &t->nodes[t->k], e) < 0)
            return -1;
        for (size_t i = 0; i < N_COLUMNS; i++)
            t->cursors[i] = t->cursors[i]->next;
    }
    return 0;
}

static int read_tree(const struct model *m, const struct field *f, uint32_t root, size_t n,
                     struct err *e)
{
    struct tree t = {
        .n = n,
        .root = root,
        .n_features = m->n_features,
        .nodes = &m->ensemble.nodes[root],
        .has_parent = mem_array(n, sizeof(*t.has_parent)),
    };
    int rc = read_nodes(&t, f, e);
    free(t.has_parent);
    return rc;
}

static int read_trees(struct model *m, const struct field *f, struct err *e)
{
    struct ensemble *t = &m->ensemble;
    size_t n_nodes = 0;
    size_t used = 0;
    if (field_count(f, 1, MODEL_MAX_TREES, &t->n_trees, e) < 0 ||
        count_all_nodes(f, &n_nodes, e) < 0)
        return -1;
    t->roots = mem_array(t->n_trees, sizeof(*t->roots));
    t->nodes = mem_array(n_nodes, sizeof(*t->nodes));
    const cJSON *item = f->item->child;
    for (size_t i = 0; i < t->n_trees; i++, item = item->next) {
        const struct field one = field_element(f, i, item);
        size_t n;
        if (count_nodes(&one, n_nodes - used, &n, e) < 0 ||
            read_tree(m, &one, (uint32_t)used, n, e) < 0)
            return -1;
        t->roots[i] = (uint32_t)used;
        used += n;
    }
    return 0;
}

/* A number that may be left out. */
static int read_option(const struct field *ensemble, const char *key, double *x, struct err *e)
{
    const struct field f = field_of(ensemble, key);
    return f.item == NULL ? 0 : field_number(&f, x, e);
}

int model_read_ensemble(struct model *m, const struct field *f, struct err *e)
{
    static const char *const keys[] = {"compare", "init", "scale", "divide_by", "sum", "trees"};
    static const char *const widths[] = {"float64", "float32"};
    struct ensemble *t = &m->ensemble;
    size_t width;
    if (field_object(f, keys, sizeof keys / sizeof keys[0], e) < 0)
        return -1;
    const struct field compare = field_of(f, "compare");
    const struct field trees = field_of(f, "trees");
    t->scale = 1;
    t->divide_by = 1;
    if (field_choice(&compare, widths, 2, &width, e) < 0 ||
        read_option(f, "init", &t->init, e) < 0 || read_option(f, "scale", &t->scale, e) < 0 ||
        read_option(f, "divide_by", &t->divide_by, e) < 0 || model_read_sum(f, &t->sum, e) < 0)
        return -1;
    t->float32 = width == 1;
    if (t->divide_by == 0)
        return field_refuse(f, e, "divide_by is zero");
    return read_trees(m, &trees, e);
}
