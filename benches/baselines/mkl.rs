//! Intel's MKL, if this machine has it: `pip install mkl` is enough. It is loaded when a bench runs, so that nobody
//! has to link it. One thread, by its sequential layer.
//!
//! The library is looked for at the path in `TOMBOLA_MKL`; else where the loader looks by itself (`LD_LIBRARY_PATH`),
//! and in the Python environment that is active or whose `python3` comes first on the `PATH`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;
use ndarray::{ArrayView2, ArrayViewMut2};
use tombola::Csr;

use super::Order;

/// The functions that are called, by the names and with the types of `mkl.h`, with 32-bit integers.
pub struct Mkl {
    pub version: String,
    sgemm: Sgemm,
    sgemv: Sgemv,
    pack_size: PackSize,
    pack: Pack,
    compute: Compute,
    omatcopy: Omatcopy,
    create_csr: CreateCsr,
    destroy: OnHandle,
    set_mm_hint: SetMmHint,
    set_mv_hint: SetMvHint,
    optimize: OnHandle,
    mm: SparseMm,
    mv: SparseMv,
}

type Handle = *mut c_void;
type Int = c_int;
type In = *const f32;
type Out = *mut f32;

type Sgemm = unsafe extern "C" fn(Int, Int, Int, Int, Int, Int, f32, In, Int, In, Int, f32, Out, Int);
type Sgemv = unsafe extern "C" fn(Int, Int, Int, Int, f32, In, Int, In, Int, f32, Out, Int);
type PackSize = unsafe extern "C" fn(Int, Int, Int, Int) -> usize;
type Pack = unsafe extern "C" fn(Int, Int, Int, Int, Int, Int, f32, In, Int, Out);
type Compute = unsafe extern "C" fn(Int, Int, Int, Int, Int, Int, In, Int, In, Int, f32, Out, Int);
type Omatcopy = unsafe extern "C" fn(c_char, c_char, usize, usize, f32, In, usize, Out, usize);
type CreateCsr = unsafe extern "C" fn(*mut Handle, Int, Int, Int, *mut Int, *mut Int, *mut Int, Out) -> Int;
type OnHandle = unsafe extern "C" fn(Handle) -> Int;
type SetMmHint = unsafe extern "C" fn(Handle, Int, Description, Int, Int, Int) -> Int;
type SetMvHint = unsafe extern "C" fn(Handle, Int, Description, Int) -> Int;
type SparseMm = unsafe extern "C" fn(Int, f32, Handle, Description, Int, In, Int, Int, f32, Out, Int) -> Int;
type SparseMv = unsafe extern "C" fn(Int, f32, Handle, Description, In, f32, Out) -> Int;

/// `struct matrix_descr`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Description {
    kind: c_int,
    fill: c_int,
    diagonal: c_int,
}

const GENERAL: Description = Description { kind: 20, fill: 40, diagonal: 50 };
const NON_TRANSPOSED: c_int = 10;
const EXPECTED_CALLS: c_int = 1000;

const ROW_MAJOR: c_int = 101;
const COLUMN_MAJOR: c_int = 102;
const NO_TRANS: c_int = 111;
const TRANS: c_int = 112;
const PACKED: c_int = 151;
const B_MATRIX: c_int = 162;

impl Order {
    fn code(self) -> c_int {
        match self {
            Self::RowMajor => ROW_MAJOR,
            Self::ColumnMajor => COLUMN_MAJOR,
        }
    }

    /// The order of the transposed matrix.
    fn transposed(self) -> Self {
        match self {
            Self::RowMajor => Self::ColumnMajor,
            Self::ColumnMajor => Self::RowMajor,
        }
    }

    /// From one row, or column, of a contiguous matrix of this order to the next.
    fn stride(self, (rows, columns): (usize, usize)) -> c_int {
        int(if self == Self::RowMajor { columns } else { rows })
    }
}

fn int(size: usize) -> c_int {
    size.try_into().expect("sizes of benches fit 32 bits")
}

/// MKL, loaded once; `None` where there is none.
pub fn mkl() -> Option<&'static Mkl> {
    static MKL: OnceLock<Option<Mkl>> = OnceLock::new();
    let mkl = MKL.get_or_init(|| {
        let loaded = load();
        match &loaded {
            Some(mkl) => eprintln!("MKL: {}", mkl.version),
            None => eprintln!(
                "no libmkl_rt found (TOMBOLA_MKL names one, `pip install mkl` brings one): skipping MKL"
            ),
        }
        loaded
    });
    mkl.as_ref()
}

fn load() -> Option<Mkl> {
    let names = ["libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so"];
    if let Some(path) = std::env::var_os("TOMBOLA_MKL") {
        return open(&PathBuf::from(path));
    }
    // Asked, since what is on the path may only stand for another, as the shims of pyenv do.
    let python = Command::new("python3").args(["-c", "import sys; print(sys.prefix)"]).output();
    let on_path = python.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let environments = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from).into_iter().chain(on_path);
    let folders = std::iter::once(PathBuf::new()).chain(environments.map(|folder| folder.join("lib")));
    folders.flat_map(|folder| names.map(|name| folder.join(name))).find_map(|path| open(&path))
}

fn open(path: &std::path::Path) -> Option<Mkl> {
    // SAFETY: loading MKL runs its initialisers, which ask nothing of the program.
    let library = unsafe { Library::new(path) }.ok()?;
    // Its functions are called until the program ends.
    let library: &'static Library = Box::leak(Box::new(library));

    /// The function of a name.
    macro_rules! function {
        ($name:literal as $type:ty) => {
            // SAFETY: the type is the one of the function's declaration in `mkl.h`.
            *unsafe { library.get::<$type>($name) }.ok()?
        };
    }
    // Before any other call: one thread, 32-bit integers.
    function!("MKL_Set_Threading_Layer" as extern "C" fn(c_int) -> c_int)(1);
    function!("MKL_Set_Interface_Layer" as extern "C" fn(c_int) -> c_int)(0);
    function!("MKL_Set_Num_Threads" as extern "C" fn(c_int))(1);
    let mut version = [0_u8; 198];
    function!("MKL_Get_Version_String" as extern "C" fn(*mut u8, c_int))(version.as_mut_ptr(), 198);
    let version = String::from_utf8_lossy(&version).trim_end_matches(['\0', ' ']).to_owned();
    Some(Mkl {
        version,
        sgemm: function!("cblas_sgemm" as Sgemm),
        sgemv: function!("cblas_sgemv" as Sgemv),
        pack_size: function!("cblas_sgemm_pack_get_size" as PackSize),
        pack: function!("cblas_sgemm_pack" as Pack),
        compute: function!("cblas_sgemm_compute" as Compute),
        omatcopy: function!("MKL_Somatcopy" as Omatcopy),
        create_csr: function!("mkl_sparse_s_create_csr" as CreateCsr),
        destroy: function!("mkl_sparse_destroy" as OnHandle),
        set_mm_hint: function!("mkl_sparse_set_mm_hint" as SetMmHint),
        set_mv_hint: function!("mkl_sparse_set_mv_hint" as SetMvHint),
        optimize: function!("mkl_sparse_optimize" as OnHandle),
        mm: function!("mkl_sparse_s_mm" as SparseMm),
        mv: function!("mkl_sparse_s_mv" as SparseMv),
    })
}

impl Mkl {
    /// `y = x·weightᵀ` for `x` `[batch, in]`, `weight` `[out, in]` and `y` `[batch, out]`, each row-major or
    /// column-major, `x` and `y` in the same order.
    pub fn multiply(
        &self,
        x: ArrayView2<'_, f32>,
        weight: ArrayView2<'_, f32>,
        mut y: ArrayViewMut2<'_, f32>,
    ) {
        let ((batch, inputs), out) = (x.dim(), weight.nrows());
        assert_eq!((weight.ncols(), y.dim()), (inputs, (batch, out)), "shapes");
        let (order, weight_order) = (Order::of(x), Order::of(weight));
        assert_eq!(order, Order::of(y.view()), "x and y in one order");
        let weight_stride = weight_order.stride(weight.dim());
        let (m, n, k) = (int(batch), int(out), int(inputs));
        let (x_stride, y_stride) = (order.stride(x.dim()), order.stride(y.dim()));
        let transposed = if weight_order == order { TRANS } else { NO_TRANS };
        let (order, weight_order) = (order.code(), weight_order.code());
        let (x, weight, y) = (x.as_ptr(), weight.as_ptr(), y.as_mut_ptr());
        // SAFETY: contiguous matrices of these sizes and strides, in the orders that the flags say; a single row is
        // a contiguous vector.
        unsafe {
            if batch == 1 {
                (self.sgemv)(weight_order, NO_TRANS, n, k, 1.0, weight, weight_stride, x, 1, 0.0, y, 1);
            } else {
                (self.sgemm)(
                    order,
                    NO_TRANS,
                    transposed,
                    m,
                    n,
                    k,
                    1.0,
                    x,
                    x_stride,
                    weight,
                    weight_stride,
                    0.0,
                    y,
                    y_stride,
                );
            }
        }
    }

    /// Weights packed for [`multiply_packed`](Self::multiply_packed) with `batch` samples in an order.
    pub fn pack(&self, weight: ArrayView2<'_, f32>, batch: usize, order: Order) -> Packed {
        let (out, inputs) = weight.dim();
        let weight_order = Order::of(weight);
        let stride = weight_order.stride(weight.dim());
        let transposed = if weight_order == order { TRANS } else { NO_TRANS };
        let (m, n, k) = (int(batch), int(out), int(inputs));
        // SAFETY: sizes in, size out.
        let bytes = unsafe { (self.pack_size)(B_MATRIX, m, n, k) };
        // A cache line more, to begin at one: MKL packs for its kernels' aligned loads.
        let mut memory = vec![0.0_f32; bytes.div_ceil(size_of::<f32>()) + 16];
        let start = memory.as_ptr().align_offset(64);
        let target = memory[start..].as_mut_ptr();
        // SAFETY: a contiguous matrix of these sizes and order, and as many bytes as MKL has asked for.
        unsafe {
            (self.pack)(order.code(), B_MATRIX, transposed, m, n, k, 1.0, weight.as_ptr(), stride, target);
        }
        Packed { memory, start, out, inputs, batch, order }
    }

    /// [`multiply`](Self::multiply) with packed weights.
    pub fn multiply_packed(&self, x: ArrayView2<'_, f32>, weight: &Packed, mut y: ArrayViewMut2<'_, f32>) {
        assert_eq!((x.dim(), y.dim()), ((weight.batch, weight.inputs), (weight.batch, weight.out)), "shapes");
        let order = weight.order;
        assert_eq!(
            [Order::of(x), Order::of(y.view())],
            [order; 2],
            "the order that the weights were packed for"
        );
        let (m, n, k) = (int(weight.batch), int(weight.out), int(weight.inputs));
        let (x_stride, y_stride) = (order.stride(x.dim()), order.stride(y.dim()));
        let (x, y) = (x.as_ptr(), y.as_mut_ptr());
        let packed = weight.memory[weight.start..].as_ptr();
        // SAFETY: contiguous matrices of these sizes and strides, and weights packed for just this product.
        unsafe {
            (self.compute)(order.code(), NO_TRANS, PACKED, m, n, k, x, x_stride, packed, k, 0.0, y, y_stride);
        }
    }

    /// Copies a matrix into another, both with contiguous rows or contiguous columns.
    pub fn copy(&self, from: ArrayView2<'_, f32>, mut to: ArrayViewMut2<'_, f32>) {
        assert_eq!(from.dim(), to.dim(), "shapes");
        let (rows, columns) = from.dim();
        assert!(rows > 1 && columns > 1, "strides of single rows mean nothing");
        let [from_strides, to_strides] =
            [from.strides(), to.strides()].map(|strides| [strides[0], strides[1]]);
        let (rows_of, columns_of) = (|[_, next]: [isize; 2]| next == 1, |[next, _]: [isize; 2]| next == 1);
        let (size, operation, from_stride, to_stride) = if rows_of(from_strides) && rows_of(to_strides) {
            ((rows, columns), b'N', from_strides[0], to_strides[0])
        } else if columns_of(from_strides) && columns_of(to_strides) {
            ((columns, rows), b'N', from_strides[1], to_strides[1])
        } else if rows_of(from_strides) && columns_of(to_strides) {
            ((rows, columns), b'T', from_strides[0], to_strides[1])
        } else {
            assert!(columns_of(from_strides) && rows_of(to_strides), "contiguous rows or columns");
            ((columns, rows), b'T', from_strides[1], to_strides[0])
        };
        let (order, operation) = (b'R' as c_char, operation as c_char);
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let strides = (from_stride as usize, to_stride as usize);
        // SAFETY: matrices of these sizes, whose rows, or columns, are contiguous and these strides apart.
        unsafe { (self.omatcopy)(order, operation, size.0, size.1, 1.0, from, strides.0, to, strides.1) }
    }

    /// A sparse matrix, made ready for `batch` samples at a time, `[batch, features]` of an order.
    pub fn sparse(&'static self, csr: &Csr, batch: usize, order: Order) -> Sparse {
        let pointers: Vec<c_int> = csr.proper_indptr().iter().map(|&at| at as c_int).collect();
        let columns: Vec<c_int> = csr.indices().iter().map(|&column| column as c_int).collect();
        let mut sparse = Sparse {
            mkl: self,
            handle: ptr::null_mut(),
            shape: csr.shape(),
            pointers,
            columns,
            values: csr.data().to_vec(),
        };
        let ends = sparse.pointers[1..].as_mut_ptr();
        let (rows, width) = (int(sparse.shape.0), int(sparse.shape.1));
        // SAFETY: the arrays of a valid CSR with 0-based columns, which live as long as the handle and are only read.
        let status = unsafe {
            (self.create_csr)(
                &raw mut sparse.handle,
                0,
                rows,
                width,
                sparse.pointers.as_mut_ptr(),
                ends,
                sparse.columns.as_mut_ptr(),
                sparse.values.as_mut_ptr(),
            )
        };
        assert_eq!(status, 0, "mkl_sparse_s_create_csr");
        // SAFETY: a valid handle; so below.
        let status = unsafe {
            if batch == 1 {
                (self.set_mv_hint)(sparse.handle, NON_TRANSPOSED, GENERAL, EXPECTED_CALLS)
            } else {
                (self.set_mm_hint)(
                    sparse.handle,
                    NON_TRANSPOSED,
                    GENERAL,
                    order.transposed().code(),
                    int(batch),
                    EXPECTED_CALLS,
                )
            }
        };
        // Not every version has hints for every layout: then it does without.
        const NOT_SUPPORTED: c_int = 6;
        assert!(status == 0 || status == NOT_SUPPORTED, "a hint: status {status}");
        // SAFETY: a valid handle.
        let status = unsafe { (self.optimize)(sparse.handle) };
        assert_eq!(status, 0, "mkl_sparse_optimize");
        sparse
    }
}

/// Dense weights in MKL's own layout.
pub struct Packed {
    memory: Vec<f32>,
    start: usize,
    out: usize,
    inputs: usize,
    batch: usize,
    order: Order,
}

/// A sparse matrix `[out, in]` in MKL's hands.
pub struct Sparse {
    mkl: &'static Mkl,
    handle: Handle,
    shape: (usize, usize),
    pointers: Vec<c_int>,
    columns: Vec<c_int>,
    values: Vec<f32>,
}

impl Sparse {
    /// `y = x·Wᵀ` for `x` `[batch, in]` and `y` `[batch, out]`, of the same order.
    pub fn multiply(&self, x: ArrayView2<'_, f32>, mut y: ArrayViewMut2<'_, f32>) {
        let (batch, (out, inputs)) = (x.nrows(), self.shape);
        assert_eq!((x.dim(), y.dim()), ((batch, inputs), (batch, out)), "shapes");
        let order = Order::of(x);
        assert_eq!(order, Order::of(y.view()), "x and y in one order");
        let (x_stride, y_stride) = (order.stride(x.dim()), order.stride(y.dim()));
        let (x, y, layout) = (x.as_ptr(), y.as_mut_ptr(), order.transposed().code());
        // SAFETY: a valid handle, and contiguous matrices of its sizes; a single row is a contiguous vector.
        let status = unsafe {
            if batch == 1 {
                (self.mkl.mv)(NON_TRANSPOSED, 1.0, self.handle, GENERAL, x, 0.0, y)
            } else {
                (self.mkl.mm)(
                    NON_TRANSPOSED,
                    1.0,
                    self.handle,
                    GENERAL,
                    layout,
                    x,
                    int(batch),
                    x_stride,
                    0.0,
                    y,
                    y_stride,
                )
            }
        };
        assert_eq!(status, 0, "a sparse product");
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        // SAFETY: a valid handle, for the last time; the arrays that it refers to go after it.
        unsafe { (self.mkl.destroy)(self.handle) };
    }
}
