// As images.c, through the same interface: declared as the header declares it, checked against it by the test.
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io::{Read, Write};

#[repr(C)]
struct Tensor {
    name: *const c_char,
    dtype: c_int,
    rank: u32,
    shape: [u32; 8],
    nbytes: u32,
    region: u32,
    offset: u32,
}

#[link(name = "net")]
extern "C" {
    fn weft_load(device: *const c_char) -> *mut c_void;
    fn weft_input(index: usize) -> *const Tensor;
    fn weft_output(index: usize) -> *const Tensor;
    fn weft_set_input(model: *mut c_void, index: usize, data: *const c_void, nbytes: usize) -> c_int;
    fn weft_run(model: *mut c_void) -> c_int;
    fn weft_get_output(model: *mut c_void, index: usize, data: *mut c_void, nbytes: usize) -> c_int;
    fn weft_last_error(model: *const c_void) -> *const c_char;
    fn weft_unload(model: *mut c_void);
}

fn check(model: *mut c_void, good: bool) {
    if !good {
        let words = unsafe { CStr::from_ptr(weft_last_error(model)) };
        eprintln!("{}", words.to_string_lossy());
        std::process::exit(1);
    }
}

fn main() {
    let device = CString::new(std::env::args().nth(1).expect("a device")).unwrap();
    let (image, logits) = unsafe { (&*weft_input(0), &*weft_output(0)) };
    let name = unsafe { CStr::from_ptr(image.name) };
    assert_eq!((name.to_str().unwrap(), &image.shape[..image.rank as usize]), ("image", &[1, 1, 8, 8][..]));
    let model = unsafe { weft_load(device.as_ptr()) };
    check(std::ptr::null_mut(), !model.is_null());
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).unwrap();
    let mut result = vec![0u8; logits.nbytes as usize];
    for one in data.chunks_exact(image.nbytes as usize) {
        unsafe {
            check(model, weft_set_input(model, 0, one.as_ptr().cast(), one.len()) == 0);
            check(model, weft_run(model) == 0);
            check(model, weft_get_output(model, 0, result.as_mut_ptr().cast(), result.len()) == 0);
        }
        std::io::stdout().write_all(&result).unwrap();
    }
    unsafe { weft_unload(model) };
}
