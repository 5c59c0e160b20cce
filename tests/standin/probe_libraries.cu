/*
 * probe_libraries.cu - products and eigenvalues through cuBLAS and cuSOLVER for test_standin.c.
 */
#include "probe_parts.h"

#include <stdlib.h>

/* A call's own device memory; `keep` is what one has to free. */
typedef struct {
    void *device[8];
    int used;
} keep;

static engine_status put(keep *k, const void *from, size_t bytes, void **out) {
    TRY(cudaMalloc(out, bytes));
    k->device[k->used++] = *out;
    if (from != NULL) {
        TRY(cudaMemcpy(*out, from, bytes, cudaMemcpyHostToDevice));
    }
    return ENGINE_OK;
}

static void drop(keep *k) {
    while (k->used > 0) {
        cudaFree(k->device[--k->used]);
    }
}

typedef struct {
    float *a, *b, *c;
    size_t c_floats;
} matrices;

static engine_status put_matrices(keep *k, const probe_group *group, int groups, const float *a,
                                  const float *b, matrices *m) {
    size_t a_floats = 0, b_floats = 0;
    m->c_floats = 0;
    for (int g = 0; g < groups; g++) {
        const probe_group *s = &group[g];
        a_floats += (size_t)s->count * (size_t)s->m * (size_t)s->k;
        b_floats += (size_t)s->count * (size_t)s->n * (size_t)s->k;
        m->c_floats += (size_t)s->count * (size_t)s->m * (size_t)s->n;
    }
    TRY(put(k, a, a_floats * sizeof(float), reinterpret_cast<void **>(&m->a)));
    TRY(put(k, b, b_floats * sizeof(float), reinterpret_cast<void **>(&m->b)));
    TRY(put(k, NULL, m->c_floats * sizeof(float), reinterpret_cast<void **>(&m->c)));
    return ENGINE_OK;
}

static engine_status get_product(probe *p, const matrices *m, float *c) {
    TRY(cudaStreamSynchronize(p->stream[0]));
    TRY(cudaMemcpy(c, m->c, m->c_floats * sizeof(float), cudaMemcpyDeviceToHost));
    return ENGINE_OK;
}

enum { GROUPS_MAX = 8, PROBLEMS_MAX = 64 };

/* cuBLAS's arguments by group, and its pointers by problem. */
typedef struct {
    cublasOperation_t ta[GROUPS_MAX], tb[GROUPS_MAX];
    int m[GROUPS_MAX], n[GROUPS_MAX], k[GROUPS_MAX], count[GROUPS_MAX], problems;
    float alpha[GROUPS_MAX], beta[GROUPS_MAX];
    float *a[PROBLEMS_MAX], *b[PROBLEMS_MAX], *c[PROBLEMS_MAX];
} grouped;

static void plan(grouped *all, const probe_group *group, int groups, matrices m) {
    for (int g = 0; g < groups; g++) {
        probe_group s = group[g];
        all->ta[g] = CUBLAS_OP_T;
        all->tb[g] = CUBLAS_OP_N;
        all->m[g] = s.m;
        all->n[g] = s.n;
        all->k[g] = s.k;
        all->count[g] = s.count;
        all->alpha[g] = 2.0f;
        all->beta[g] = 0.0f;
        for (int i = 0; i < s.count; i++) {
            all->a[all->problems] = m.a;
            all->b[all->problems] = m.b;
            all->c[all->problems++] = m.c;
            m.a += s.m * s.k;
            m.b += s.n * s.k;
            m.c += s.m * s.n;
        }
    }
}

static engine_status run_grouped(probe *p, keep *k, const probe_group *group, int groups,
                                 const float *a, const float *b, float *c) {
    matrices m;
    TRY(put_matrices(k, group, groups, a, b, &m));
    grouped all = {};
    plan(&all, group, groups, m);
    size_t bytes = (size_t)all.problems * sizeof(float *);
    void *at, *bt, *ct;
    TRY(put(k, all.a, bytes, &at));
    TRY(put(k, all.b, bytes, &bt));
    TRY(put(k, all.c, bytes, &ct));
    TRY(cublasSgemmGroupedBatched(p->blas, all.ta, all.tb, all.m, all.n, all.k, all.alpha,
                                  static_cast<const float **>(at), all.k,
                                  static_cast<const float **>(bt), all.k, all.beta,
                                  static_cast<float **>(ct), all.m, groups, all.count));
    return get_product(p, &m, c);
}

engine_status probe_grouped(probe *p, const probe_group *group, int groups, const float *a,
                            const float *b, float *c) {
    keep k = {};
    engine_status status = run_grouped(p, &k, group, groups, a, b, c);
    drop(&k);
    return status;
}

static engine_status run_strided(probe *p, keep *k, probe_group g, const float *a, const float *b,
                                 float *c) {
    matrices m;
    const float alpha = 2.0f, beta = 0.0f;
    TRY(put_matrices(k, &g, 1, a, b, &m));
    TRY(cublasSgemmStridedBatched(p->blas, CUBLAS_OP_T, CUBLAS_OP_N, g.m, g.n, g.k, &alpha, m.a,
                                  g.k, g.m * g.k, m.b, g.k, g.n * g.k, &beta, m.c, g.m, g.m * g.n,
                                  g.count));
    return get_product(p, &m, c);
}

engine_status probe_strided(probe *p, probe_group group, const float *a, const float *b, float *c) {
    keep k = {};
    engine_status status = run_strided(p, &k, group, a, b, c);
    drop(&k);
    return status;
}

static engine_status run_single(probe *p, keep *k, probe_group g, const float *a, const float *b,
                                float *c) {
    matrices m;
    const float alpha = 2.0f, beta = 0.0f;
    TRY(put_matrices(k, &g, 1, a, b, &m));
    for (int i = 0; i < g.count; i++) {
        TRY(cublasSgemm(p->blas, CUBLAS_OP_T, CUBLAS_OP_N, g.m, g.n, g.k, &alpha,
                        m.a + i * g.m * g.k, g.k, m.b + i * g.n * g.k, g.k, &beta,
                        m.c + i * g.m * g.n, g.m));
    }
    return get_product(p, &m, c);
}

engine_status probe_single(probe *p, probe_group group, const float *a, const float *b, float *c) {
    keep k = {};
    engine_status status = run_single(p, &k, group, a, b, c);
    drop(&k);
    return status;
}

/* ---- eigenvalues ---- */

typedef struct {
    void *a, *w, *work;
    int *info;
    int n, batch;
} eigen;

static engine_status put_syev(probe *p, keep *k, eigen *e, cudaDataType type) {
    cusolverDnParams_t params = NULL;
    size_t bytes = 0, host_bytes = 0;
    TRY(cusolverDnCreateParams(&params));
    cusolverStatus_t status = cusolverDnXsyevBatched_bufferSize(
        p->solver, params, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, e->n, type, e->a,
        e->n, type, e->w, type, &bytes, &host_bytes, e->batch);
    void *host = malloc(host_bytes + 1);
    if (status == CUSOLVER_STATUS_SUCCESS && put(k, NULL, bytes, &e->work) == ENGINE_OK) {
        status = cusolverDnXsyevBatched(p->solver, params, CUSOLVER_EIG_MODE_NOVECTOR,
                                        CUBLAS_FILL_MODE_LOWER, e->n, type, e->a, e->n, type, e->w,
                                        type, e->work, bytes, host, host_bytes, e->info, e->batch);
        cudaStreamSynchronize(p->stream[0]); /* before the host's workspace goes */
    }
    free(host);
    TRY(cusolverDnDestroyParams(params));
    TRY(status);
    return ENGINE_OK;
}

static engine_status put_syevj(probe *p, keep *k, eigen *e) {
    syevjInfo_t params = NULL;
    int work_doubles = 0;
    double *a = static_cast<double *>(e->a), *w = static_cast<double *>(e->w);
    TRY(cusolverDnCreateSyevjInfo(&params));
    cusolverStatus_t status = cusolverDnDsyevjBatched_bufferSize(
        p->solver, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, e->n, a, e->n, w,
        &work_doubles, params, e->batch);
    if (status == CUSOLVER_STATUS_SUCCESS &&
        put(k, NULL, (size_t)work_doubles * sizeof(double), &e->work) == ENGINE_OK) {
        status = cusolverDnDsyevjBatched(
            p->solver, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, e->n, a, e->n, w,
            static_cast<double *>(e->work), work_doubles, e->info, params, e->batch);
    }
    TRY(cusolverDnDestroySyevjInfo(params));
    TRY(status);
    return ENGINE_OK;
}

static engine_status run_f64(probe *p, keep *k, eigen *e, probe_solver solver, const double *a,
                             double *w) {
    size_t values = (size_t)e->n * (size_t)e->batch;
    TRY(put(k, a, values * (size_t)e->n * sizeof *a, &e->a));
    TRY(put(k, NULL, values * sizeof *w, &e->w));
    TRY(put(k, NULL, (size_t)e->batch * sizeof(int), reinterpret_cast<void **>(&e->info)));
    TRY(solver == PROBE_SYEVJ_F64 ? put_syevj(p, k, e) : put_syev(p, k, e, CUDA_R_64F));
    TRY(cudaStreamSynchronize(p->stream[0]));
    TRY(cudaMemcpy(w, e->w, values * sizeof *w, cudaMemcpyDeviceToHost));
    return ENGINE_OK;
}

static engine_status run_f32(probe *p, keep *k, eigen *e, const double *a, double *w) {
    size_t values = (size_t)e->n * (size_t)e->batch, entries = values * (size_t)e->n;
    for (size_t i = 0; i < entries; i++) {
        p->host[0][i] = (float)a[i];
    }
    TRY(put(k, p->host[0], entries * sizeof(float), &e->a));
    TRY(put(k, NULL, values * sizeof(float), &e->w));
    TRY(put(k, NULL, (size_t)e->batch * sizeof(int), reinterpret_cast<void **>(&e->info)));
    TRY(put_syev(p, k, e, CUDA_R_32F));
    TRY(cudaMemcpy(p->host[1], e->w, values * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < values; i++) {
        w[i] = (double)p->host[1][i];
    }
    return ENGINE_OK;
}

engine_status probe_eigenvalues(probe *p, probe_solver solver, int n, int batch, const double *a,
                                double *w) {
    keep k = {};
    eigen e = {};
    e.n = n;
    e.batch = batch;
    engine_status status =
        solver == PROBE_SYEV_F32 ? run_f32(p, &k, &e, a, w) : run_f64(p, &k, &e, solver, a, w);
    drop(&k);
    return status;
}
