// Stands in for OpenCV's own all-modules header while FFCV is compiled: see ../opencv4.pc.
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
